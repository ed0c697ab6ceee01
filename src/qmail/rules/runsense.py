"""Whether run files and the rules that they name can do what they are there for."""

from __future__ import annotations

from qmail.formats.options import Wrong, options
from qmail.formats.shellwords import arguments, commands
from qmail.formats.tcpoptions import LETTERS, settings
from qmail.rules.finding import Finding
from qmail.rules.takeover import LEAST_MEMORY, little_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qmail.formats.tcpoptions import Settings
    from qmail.rules.found import Found, Rules, Run

    Known = Callable[[bytes], bool]


def runs(found: Found, is_user: Known, is_group: Known) -> Iterator[Finding]:
    """What is wrong in run files and rules. The two say whether there is such a user or group."""
    for run in found.runs:
        if not run.executable:
            yield Finding(run.path + b" is not executable: the service never starts", b"chmod +x " + run.path)
        yield from _accounts(run, is_user, is_group)
        yield from _script(run)
        yield from _checkers(run)
        for letter, size in little_memory(run):
            yield Finding(
                run.path + b": softlimit %b %d is too little for an interpreter" % (letter, size),
                b"make it %d or more" % LEAST_MEMORY,
            )
    for rules in found.rules:
        for each in listening(rules.run):
            yield from _rules(rules, each)


def listening(run: Run) -> Iterator[Settings]:
    """The options of each tcpserver that a run file starts."""
    for words in arguments(run.text, b"tcpserver"):
        try:
            yield settings(words, {})[0]
        except ValueError:
            pass


def _accounts(run: Run, is_user: Known, is_group: Known) -> Iterator[Finding]:
    for program in (b"setuidgid", b"envuidgid"):
        for words in arguments(run.text, program):
            name = words[0] if words else b""
            if not name or b"$" in name or name.startswith(b"-") or is_user(name):
                continue
            what = b"is a group, not a user" if is_group(name) else b"is no user"
            advice = b"logs belong to qmaill, as a rule" if b"multilog" in words else b"name a user that there is"
            yield Finding(run.path + b": " + program + b" " + name + b": " + name + b" " + what, advice)
    for option, known, kind in ((b"-u", is_user, b"user"), (b"-g", is_user, b"user")):
        for name in _asked(run.text, option):
            if b"$" not in name and not known(name):
                yield Finding(
                    run.path + b": id " + option + b" " + name + b": " + name + b" is no " + kind,
                    b"name a user that there is; sh setup/users.sh makes those of qmail",
                )


def _asked(text: bytes, option: bytes) -> set[bytes]:
    """Whom `id -u NAME` and its like are asked about, in substitutions too."""
    words = text.replace(b"`", b" ").replace(b"$(", b" ").replace(b")", b" ").split()
    return {
        words[at + 2].strip(b"\"'")
        for at in range(len(words) - 2)
        if words[at] in (b"id", b"/usr/bin/id") and words[at + 1] == option
    }


def _script(run: Run) -> Iterator[Finding]:
    for words in commands(run.text):
        if len(words) > 2 and words[:3] in ([b"[", b"!", b"f"], [b"if", b"[", b"!"]) and b"f" in words[2:4]:
            yield Finding(
                run.path + b": `[ ! f FILE ]` lacks a hyphen; it is an error and never true", b"write `[ ! -f FILE ]`"
            )
        if words[0] in (b"su", b"exec") and b"su" in words[:2] and b"-c" in words:
            yield Finding(
                run.path + b": su needs a user with a working shell, and qmail's have none",
                b"use setuidgid USER PROGRAM",
            )
    for each in listening(run):
        for letter, value in each.odd:
            if letter in (b"u", b"g") and not value.startswith((b"`", b"$")):
                yield Finding(
                    run.path + b": tcpserver -" + letter + b" " + value + b" is read as 0, root's number",
                    b'write -%b "`id -%b %b`"' % (letter, letter, value),
                )


def _checkers(run: Run) -> Iterator[Finding]:
    """Those who let clients in must be root until they know who it is."""
    checkers = [name for name in (b"checkpassword", b"checkpwfile") if arguments(run.text, name)]
    gives_up = any(letter in (b"u", b"U") for words in arguments(run.text, b"tcpserver") for letter in _letters(words))
    if checkers and (gives_up or arguments(run.text, b"setuidgid")):
        yield Finding(
            run.path + b": " + checkers[0] + b" is not started as root: it can become nobody, and nobody can log in",
            b"take tcpserver's -u and -g, or setuidgid, out of it",
        )


def _letters(words: list[bytes]) -> list[bytes]:
    try:
        return [letter for letter, _ in options(words, LETTERS)[0]]
    except Wrong:
        return []


def _rules(rules: Rules, told: Settings) -> Iterator[Finding]:
    if rules.records is None:
        if not told.may_lack_rules:
            yield Finding(
                rules.path + b", which " + rules.run.path + b" names, is not there: every connection is dropped",
                b"make it with tcprules",
            )
        return
    hosts = sorted(key for key in rules.keys if key.startswith(b"=") or b"@=" in key)
    if hosts and not told.asks_host:
        yield Finding(
            rules.path + b" has rules for host names (" + hosts[0] + b"), and with -H none is known: they never apply",
            b"take -H out of " + rules.run.path + b" (and add -p), or write addresses",
        )
    elif hosts and not told.paranoid:
        yield Finding(
            rules.path + b" trusts host names (" + hosts[0] + b"), and whoever owns an address can give it any name",
            b"add -p to tcpserver in " + rules.run.path,
        )
