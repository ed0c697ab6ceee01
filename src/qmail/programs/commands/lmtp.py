"""lmtp: hand a message to a mail store that speaks LMTP, such as Dovecot.

A program for lines of .qmail files.

Usage: lmtp [-t SECONDS] SERVER [RECIPIENT]

    |lmtp /run/dovecot/lmtp "$USER"
    |lmtp 127.0.0.1:24
    |preline -f -r lmtp /run/dovecot/lmtp joe

    -t  seconds within which the server must connect, and answer each time
        (default 300)

SERVER is the path of a socket, with a slash in front, or an address and a port;
an IPv6 address stands in brackets. RECIPIENT is who the server knows the user
as; without it, RECIPIENT of the environment.

Behaviour:
The message goes to the server from SENDER, for this one recipient (RFC 2033); a
last line without its end gets one. What the server says is printed, and so
stands in the log, or in the bounce. What it refuses for good bounces; whatever
else happens, the message is tried again later. It may come twice where the
connection is lost while the server takes it.

Environment: SENDER and RECIPIENT, set by qmail-local.
Files: QMAIL_HOME/control: me.
Runs as: the recipient.
Exit codes: 0 delivered; 100 refused for good, or used wrongly; 111 try again.
"""

from __future__ import annotations

from qmail.formats.options import Wrong, options
from qmail.formats.verdict import PERMANENT, SUCCESS, TEMPORARY, Permanent, Temporary, Usage
from qmail.host import connect, program
from qmail.host.reasons import reason
from qmail.stores import forwarding, home
from qmail.stores.control import Control
from qmail.stores.smtpsession import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.host.connect import Connection

SECONDS = 300
LONGEST = 86_400  # seconds
USAGE = b"lmtp: usage: lmtp [ -t seconds ] server [ recipient ]"


def main(argv: list[bytes], environ: Mapping[bytes, bytes]) -> int:
    """Run as described above."""
    seconds, words = _options(argv)
    sender = forwarding.variable(environ, b"SENDER")
    recipient = words[1] if len(words) > 1 else forwarding.variable(environ, b"RECIPIENT")
    for each in (sender, recipient):
        if b"\n" in each or b"\r" in each or b">" in each:
            raise Permanent(b"an address with this byte cannot be sent by LMTP: " + each)
    me = Control(home.find(argv[0], environ).path).line(b"me") or b"localhost"
    session = Session(_connection(words[0], seconds), words[0], me, seconds, extended=True, local=True)
    session.transact(sender, [recipient], 0, None)
    session.close()
    return _told(session.report)


def _options(argv: list[bytes]) -> tuple[int, list[bytes]]:
    try:
        seconds, found, words = SECONDS, *options(argv[1:], b"t:")
    except Wrong:
        raise Usage(USAGE) from None
    for _letter, value in found:
        if not value.isdigit() or not 0 < int(value) <= LONGEST:
            raise Usage(USAGE)
        seconds = int(value)
    if len(words) not in (1, 2):
        raise Usage(USAGE)
    return seconds, words


def _connection(server: bytes, seconds: int) -> Connection:
    try:
        if server.startswith(b"/"):
            return connect.local(server, seconds)
        host, colon, port = server.rpartition(b":")
        address = connect.packed(host.strip(b"[]"))
        if not colon or address is None or not port.isdigit() or not 0 < int(port) < 65536:
            raise Usage(USAGE + b"; server is /path or address:port")
        found = connect.connect([address], int(port), seconds, seconds).connection
    except OSError as error:
        raise Temporary(b"unable to connect to " + server + b": " + reason(error)) from error
    if found is None:
        raise Temporary(b"unable to connect to " + server)
    return found


def _told(report: bytes) -> int:
    """Print what the server said; the exit code."""
    *recipients, verdict, _ = report.split(b"\0")
    letter = (recipients[0][:1] if recipients and recipients[0][:1] in (b"h", b"s") else verdict[:1]) or b"Z"
    texts = [record[1:] for record in (*recipients, verdict) if record[1:]]
    program.say(1, b"".join([text if text.endswith(b"\n") else text + b"\n" for text in texts]))
    return SUCCESS if letter == b"K" else PERMANENT if letter in (b"h", b"D") else TEMPORARY
