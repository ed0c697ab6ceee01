"""Whether control files and aliases say what their author can have meant."""

from __future__ import annotations

from qmail.formats.controlfile import TABLE
from qmail.formats.controlkinds import Line
from qmail.formats.domainname import ascii, compared
from qmail.formats.dotqmail import REFUSED, instructions
from qmail.formats.shellwords import arguments
from qmail.rules.finding import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.rules.found import Found

NEEDED = (
    (b"postmaster", b"RFC 5321 4.5.1"), (b"mailer-daemon", b"bounces come from it"),
    (b"abuse", b"RFC 2142"), (b"root", b"the system itself writes to it, and qmail delivers nothing to root"),
)  # fmt: skip
DEFAULT_DELIVERY = b"./Mailbox"


def control(found: Found) -> Iterator[Finding]:
    """What is wrong in control/."""
    me = found.first(b"me")
    if not me:
        yield Finding(b"control/me is missing or empty", b"run config-fast with the name of this host")
    elif b"." not in me.strip(b"."):
        yield Finding(b"control/me is `" + me + b"`, no full name", b"run config-fast with the whole name of this host")
    yield from _names(found)
    yield from _doors(found)
    yield from _local(found)
    for entry in TABLE:
        if isinstance(entry, Line) and entry.number and entry.name in found.control:
            if not found.first(entry.name)[:1].isdigit():
                yield Finding(b"control/" + entry.name + b" is no number", b"write one, or remove the file")
            elif entry.name.startswith(b"concurrency") and not int(found.first(entry.name)[:1]):
                yield Finding(b"control/" + entry.name + b" is 0: no such mail leaves", b"remove the file to let it go")
    seen: set[bytes] = set()
    for line in found.lines(b"smtproutes"):
        domain, colon, _ = line.partition(b":")
        if not colon:
            yield Finding(b"control/smtproutes has `" + line + b"`, without a colon", b"write domain:relay")
        elif compared(domain) in seen:
            yield Finding(
                b"control/smtproutes has `" + domain + b"` twice; the last line counts", b"remove the other one"
            )
        seen.add(compared(domain))
    for name in (b"relayrecipients", b"morerelayrecipients"):
        for line in found.lines(name):
            if b"@" not in line:
                yield Finding(
                    b"control/" + name + b" has `" + line + b"`, without an @: it says nothing",
                    b"write user@domain, or @domain",
                )


def _names(found: Found) -> Iterator[Finding]:
    for file in (b"rcpthosts", b"locals", b"virtualdomains", b"smtproutes"):
        for line in found.lines(file):
            domain = line.partition(b":")[0].rpartition(b"@")[2]
            if ascii(domain) is None:
                yield Finding(
                    b"control/" + file + b" has `" + domain + b"`, which is beyond ASCII and no host name",
                    b"write it in UTF-8, as IDNA2008 allows it, or as xn--...",
                )


def _doors(found: Found) -> Iterator[Finding]:
    if b"rcpthosts" not in found.control:
        yield Finding(
            b"control/rcpthosts is missing: mail from the network is taken for nobody",
            b"write the domains whose mail you take into it, one a line",
        )
        return
    accepted = set(map(compared, found.lines(b"rcpthosts") + found.lines(b"morercpthosts")))
    virtual = [line.partition(b":")[0].rpartition(b"@")[2] for line in found.lines(b"virtualdomains")]
    for name, domains in ((b"locals", found.lines(b"locals")), (b"virtualdomains", virtual)):
        for domain in domains:
            if domain and not domain.startswith(b".") and not _covered(compared(domain), accepted):
                yield Finding(
                    b"control/" + name + b" has " + domain + b", and rcpthosts has not: the network cannot reach it",
                    b"add it to control/rcpthosts, unless that is meant",
                )


def _covered(domain: bytes, accepted: set[bytes]) -> bool:
    while domain:
        if domain in accepted:
            return True
        at = domain.find(b".", 1)
        domain = domain[at:] if at >= 0 else b""
    return False


def _local(found: Found) -> Iterator[Finding]:
    locals_ = set(map(compared, found.lines(b"locals")))
    for line in found.lines(b"locals"):
        if line.startswith(b"."):
            yield Finding(
                b"control/locals has `" + line + b"`: there are no wildcards in it, it is nobody's domain",
                b"write each domain in full, or use virtualdomains",
            )
    for line in found.lines(b"virtualdomains"):
        domain, colon, _ = line.partition(b":")
        if not colon:
            yield Finding(b"control/virtualdomains has `" + line + b"`, without a colon", b"write domain:prefix")
        elif compared(domain) in locals_:
            yield Finding(
                b"control/virtualdomains has " + domain + b", and so has locals, which counts first",
                b"remove it from one of them",
            )


def aliases(found: Found, directory: bytes) -> Iterator[Finding]:
    """What is wrong with the aliases in ~alias, `directory`."""
    default = next(
        (words[0] for run in found.runs for words in arguments(run.text, b"qmail-start") if words), DEFAULT_DELIVERY
    )
    relative = any(line.startswith(b"./") for line in default.split(b"\n"))
    names = {name.removeprefix(b".qmail-") for name in found.aliases}
    for name, why in NEEDED:
        if name not in names and b"default" not in names and not _assigned(found, name):
            yield Finding(
                b"there is no alias " + name + b" (" + why + b")",
                b"write the address of a person into " + directory + b"/.qmail-" + name,
            )
    for name, text in sorted(found.aliases.items()):
        path = directory + b"/" + name
        if not text.strip() and relative and name != b".qmail":
            yield Finding(
                path + b" is empty: its mail goes into a mailbox in " + directory + b", where nobody reads it",
                b"write the address of a person into it",
            )
        elif any(each.kind == REFUSED for each in instructions(text, forward_only=False)):
            yield Finding(path + b" begins with a blank line: its mail is put off", b"remove that line")
        if name != name.lower():
            yield Finding(path + b" has capitals in its name: it is never looked for", b"rename it to lower case")
        if b"." in name[1:]:
            yield Finding(path + b" has a dot in its name: it is never looked for", b"write a colon in its place")


def _assigned(found: Found, name: bytes) -> bool:
    return any(key == b"!" + name + b"\0" for key, _ in found.assignments or ())
