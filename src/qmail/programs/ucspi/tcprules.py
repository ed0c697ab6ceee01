"""tcprules: compile rules for tcpserver.

Rules say which clients may connect, and what the server is told of them.

Usage: tcprules CDB TMP

    tcprules /etc/tcp.smtp.cdb /etc/tcp.smtp.tmp < /etc/tcp.smtp

Each line of standard input is a rule; lines that begin with `#`, and lines
without a colon, are none:

    127.0.0.1:allow,RELAYCLIENT=""
    10.0.0.0/12:allow,RELAYCLIENT="",DATABYTES="0"
    192.0.2.1-9:deny
    [2001:db8::/32]:allow
    joe@192.0.2.20:allow,WHO="joe"
    =.example.org:allow
    :allow

The order of the lines means nothing: a client is looked up under

    TCPREMOTEINFO@IP, TCPREMOTEINFO@=HOST, IP, =HOST, the networks of IP, longest
    first (192.0.2.), the suffixes of HOST, longest first (=.example.org), =, and
    the empty address

and the first of these that has a rule decides alone. Of several rules for one
address the first line counts. A warning on descriptor 2 names lines whose order
suggests something else.

Behaviour:
A part of an address may be a range (`10.0.0.1-9`, `10.2-3.`); the address may
be a network (`10.0.0.0/12`); IPv6 stands in brackets. Any character may take
the place of the quotes around a value. Blanks at the end of a line do not
count. Keys with `=` are for tcpserver without -H, keys with `@` for tcpserver
with -r.

CDB is replaced by a rename of TMP, on the same file system: a running tcpserver
sees the old rules or the new ones, whole. Where a line is wrong CDB stays as it
was. Input may have 256 MiB, CDB 4 GiB.

Files: CDB; TMP is left where something fails.
Runs as: whoever may write there.
Exit codes: 0 also with warnings; 100 usage, or a line that is no rule; 111 a
    file cannot be read, written or moved.
"""

from __future__ import annotations

import os

from qmail.formats import cdb, tcprules
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import durable, fds
from qmail.host.program import line, say
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

USAGE = b"tcprules: usage: tcprules rules.cdb rules.tmp"
LARGEST = 1 << 28  # bytes of rules


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        raise Usage(USAGE)
    target, temporary = argv[1], argv[2]
    descriptor = _create(temporary)
    compiled = list(_rules())
    try:
        fds.write_all(descriptor, cdb.make(tcprules.records(compiled)))
        durable.sync(descriptor)
        os.close(descriptor)
    except (OSError, cdb.TooLarge) as error:
        why = reason(error) if isinstance(error, OSError) else b"more than 4 GiB"
        raise Temporary(b"unable to write " + temporary + b": " + why) from error
    try:
        durable.rename(temporary, target)
        durable.sync_directory(os.path.dirname(target) or b".")
    except OSError as error:
        raise Temporary(b"unable to move " + temporary + b" to " + target + b": " + reason(error)) from error
    _warn(compiled)
    return 0


def _create(temporary: bytes) -> int:
    try:
        return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Temporary(b"unable to create " + temporary + b": " + reason(error)) from error


def _rules() -> Iterator[tcprules.Rule]:
    try:
        text = fds.read_all(0, LARGEST)
    except OSError as error:
        raise Temporary(b"unable to read input: " + reason(error)) from error
    if text is None:
        raise Temporary(b"unable to read input: more than 256 MiB")
    try:
        yield from tcprules.rules(text.split(b"\n"))
    except tcprules.Malformed as wrong:
        if os.isatty(2):
            say(2, line(b"tcprules: line %d: expected %b" % (wrong.number, wrong.expected)))
        raise Permanent(b"unable to parse this line: " + wrong.line) from None


def _warn(compiled: Sequence[tcprules.Rule]) -> None:
    for earlier, later in tcprules.overruled(compiled):
        text = (
            b"tcprules: warning: line %d, %b, decides although line %d, %b, stands before it and fits too: "
            b"the most specific address wins, whatever the order"
        )
        say(2, line(text % (later.number, later.text, earlier.number, earlier.text)))
