"""What a configuration that C qmail has lived with will meet here: each difference in behaviour that it can notice.

What differs for everybody is not repeated: docs/differences.md has all of it.
"""

from __future__ import annotations

from qmail.formats.controlfile import TABLE
from qmail.formats.controlkinds import Compiled
from qmail.formats.shellwords import arguments
from qmail.formats.tcpoptions import number, settings
from qmail.rules.finding import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qmail.formats.tcpoptions import Settings
    from qmail.rules.found import Found, Rules, Run

LEAST_MEMORY = 100_000_000  # bytes that an interpreter with our largest program can live with
SPAWN = 120  # deliveries at once that the C programs are usually built for
KNOWN = frozenset((b"RELAYCLIENT", b"DATABYTES", b"RBLSMTPD", b"TCPREMOTEHOST", b"TCPREMOTEINFO", b"TCPREMOTEIP"))

# What patches read, and what becomes of it here.
PATCHED: dict[bytes, bytes] = {
    name: does
    for names, does in (
        (b"clientcert.pem tlsclientciphers", b"TLS is not spoken to other hosts"),
        (b"tlsserverciphers dh2048.pem", b"OpenSSL's defaults are used"),
        (b"badrcptto badmailto badrcptpatterns", b"these recipients are not refused any more"),
        (b"validrcptto validrcptto.cdb recipients recipients.cdb goodrcptto", b"control/relayrecipients lists such"),
        (b"badhelo badmailfrompatterns badloadertypes signatures", b"these clients are not refused any more"),
        (b"spfbehavior spfrules spfguess spfexp", b"SPF is not looked at"),
        (b"tarpitcount tarpitdelay maxrcpt maxrecipients brtlimit", b"clients are not slowed down or limited by it"),
        (b"smtpauth smtproutes_auth authsenders", b"qmail-remote does not log in to relays"),
        (b"bindroutes", b"control/sourceaddresses says which address to send from"),
        (b"domainkeys dkimsign filterargs qfilters simcontrol", b"messages are not signed or filtered by it"),
        (b"taps", b"no copies are made"),
        (b"extraqueue bigtodo", b"it has no effect"),
    )
    for name in names.split()
}  # fmt: skip


def differences(found: Found, built: Mapping[bytes, bytes], wrappers: Iterable[bytes]) -> Iterator[Finding]:
    """Everything, the gravest first. `built`: what the old qmail-showctl says of how it was compiled."""
    for name in wrappers:
        yield Finding(
            b"bin/" + name + b" is a script of yours, and will be replaced with the program it stands in front of",
            b"afterwards copy it back over bin/" + name + b", and let it run what it wraps under another path; "
            b"a filter of qmail-queue is better named in the variable QMAILQUEUE",
        )
    yield from _relaying(found)
    yield from _patches(found)
    yield from _compiled(built)
    yield from _numbers(found)
    yield from _assignments(found)
    for path, box in found.linked:
        yield Finding(
            path + b" delivers to " + box + b", a link in a directory that is not the user's; it will not be followed",
            b"name the file that it leads to",
        )
    for run in found.runs:
        yield from _run(run)
    for rules in found.rules:
        yield from _rules(rules)


def _relaying(found: Found) -> Iterator[Finding]:
    if b"rcpthosts" not in found.control:
        yield Finding(
            b"control/rcpthosts is missing: until now mail for everybody was taken from everybody, "
            b"from now on none is that names a host",
            b"write the domains whose mail you take into it, one a line; clients that may send anywhere get "
            b"RELAYCLIENT from the rules of tcpserver",
        )


def _patches(found: Found) -> Iterator[Finding]:
    known = {entry.name for entry in TABLE} | {entry.source for entry in TABLE if isinstance(entry, Compiled)}
    for name in sorted(found.control):
        if name in known or name.endswith((b"~", b".lock", b".bak", b".orig", b".tmp")):
            continue
        if name in PATCHED:
            what = PATCHED[name]
        elif any(name in run.text for run in found.runs):
            continue  # a script of the administrator reads it
        else:
            what = b"no program here reads it"
        yield Finding(
            b"control/" + name + b" is not of qmail itself: " + what,
            b"if you need it, put a program that does it in front (tcpserver's program, QMAILQUEUE, QMAILREMOTE)",
        )


def _compiled(built: Mapping[bytes, bytes]) -> Iterator[Finding]:
    mark = built.get(b"user-ext delimiter", b"-")
    if mark != b"-":
        yield Finding(
            b"the old programs divide user from extension by `" + mark + b"`; here it is `-`",
            b"give such addresses lines in users/assign (qmail-users(5)) before you take over",
            blocks=True,
        )
    writable = built.get(b"paternalism (in decimal)", b"2")
    if writable != b"2":
        yield Finding(
            b"the old programs refuse other modes of homes and .qmail files (mask " + writable + b"); here only those "
            b"that everybody may write are refused",
            b"nothing, unless you rely on it",
        )


def _numbers(found: Found) -> Iterator[Finding]:
    for name in (b"concurrencylocal", b"concurrencyremote"):
        wanted = number(found.first(name))
        if wanted > SPAWN:
            yield Finding(
                b"control/%b is %d: the old programs stop at what they were compiled for, %d as a rule; here it counts"
                % (name, wanted, SPAWN),
                b"lower it if you do not mean it",
            )
    if number(found.first(b"databytes")):
        yield Finding(
            b"control/databytes is set: qmail-smtpd will announce it (SIZE), and refuse larger mail before it comes",
            b"nothing",
        )


def _assignments(found: Found) -> Iterator[Finding]:
    wild = next((data for key, data in found.assignments or () if not key), b"")
    if wild != wild.lower():
        yield Finding(
            b"users/cdb has wildcards that end in a capital letter; they never applied, and will",
            b"look through users/assign for lines that begin with + and such a name",
        )


def little_memory(run: Run) -> Iterator[tuple[bytes, int]]:
    """The options of softlimit, with their numbers, that leave an interpreter no room."""
    for words in arguments(run.text, b"softlimit"):
        for letter, value in zip(words, [*words[1:], b""], strict=False):
            size = number(value if len(letter) == 2 else letter[2:])
            if letter[:2] in (b"-m", b"-a", b"-d") and 0 < size < LEAST_MEMORY:
                yield letter[:2], size


def _run(run: Run) -> Iterator[Finding]:
    for letter, size in little_memory(run):
        yield Finding(
            run.path + b": softlimit %b %d is too little for an interpreter; nothing would start" % (letter, size),
            b"make it %d or more" % LEAST_MEMORY,
        )
    for program, extra in ((b"qmail-smtpd", b"a patch's AUTH"), (b"qmail-qmtpd", b"a patch")):
        for words in arguments(run.text, program):
            words = [word for word in words if word not in (b"2", b"1")]
            if words:
                yield Finding(
                    run.path + b": " + program + b" is given arguments, as for " + extra + b"; here it has none",
                    b"take them away; who may relay is said by RELAYCLIENT",
                )
    if b"qmail-smtpd" in run.text and arguments(run.text, b"tcpserver") and _foreign(run, b"tcpserver"):
        yield Finding(
            run.path + b" runs a tcpserver of its own path: each connection then starts an interpreter",
            b"name the one in our bin/, which keeps qmail-smtpd warm",
        )


def _foreign(run: Run, program: bytes) -> bool:
    """Is a program named there by a path that is not of this home?"""
    return any(
        word.endswith(b"/" + program) and b"qmail" not in word for word in run.text.replace(b"\\\n", b" ").split()
    )


def _rules(rules: Rules) -> Iterator[Finding]:
    keys = set(rules.keys)
    asks = any(each.asks_info for each in _settings(rules.run))
    users = sorted(key for key in keys if b"@" in key)
    if users and not asks:
        yield Finding(
            rules.path + b" has rules for users (" + users[0] + b"); they count only with tcpserver -r, since ident "
            b"is not asked unless told",
            b"add -r to " + rules.run.path + b", or better take these rules away: everybody can claim to be anybody",
        )
    networks = sorted(key for key in keys if b"/" in key)
    if networks:
        yield Finding(
            rules.path + b" has " + networks[0] + b", which applied to nobody until now",
            b"made anew by our tcprules it is the network that it looks like; make sure that this is meant",
        )
    if any(key in keys for key in (b"127.", b"127.0.0.1")) and not any(key.startswith(b"[") for key in keys):
        yield Finding(
            rules.path + b" has a rule for 127. and none for IPv6; our tcpserver takes IPv6 too where it listens on 0",
            b'add a line such as [::1]:allow,RELAYCLIENT="" and run our tcprules',
        )
    other = sorted(rules.variables - KNOWN)
    if other:
        yield Finding(
            rules.path + b" sets " + b", ".join(other) + b": such sessions have a qmail-smtpd process of their own, "
            b"and only QMAILQUEUE and DATABYTES mean something to it",
            b"nothing, where another program reads them; else take away what a patch has read",
        )


def _settings(run: Run) -> Iterator[Settings]:
    for words in arguments(run.text, b"tcpserver"):
        try:
            yield settings(words, {})[0]
        except ValueError:
            pass
