"""condredirect: send a message on to another address if a program says so.

A program for lines of .qmail files.

Usage: condredirect ADDRESS PROGRAM [ARGUMENT...]

    |condredirect joe-spam@example.org grep -q '^X-Spam: yes'
    ./Maildir/

Behaviour:
PROGRAM gets the message on descriptor 0. Where it exits 0, the message goes to
ADDRESS, from SENDER, with DTLINE in front, and later lines of .qmail are not
followed; where it exits 111, or crashes, the delivery is tried again; anything
else lets the delivery go on with the next line.

Environment: SENDER and DTLINE, set by qmail-local; QMAILQUEUE replaces
qmail-queue; PATH, to find PROGRAM.
Runs as: the recipient.
Exit codes: 99 sent on; 0 not sent on; 100 usage, refused for good, or a
    variable is missing; 111 try again.
"""

from __future__ import annotations

from qmail.formats.verdict import STOP, SUCCESS, Usage
from qmail.host import program
from qmail.stores import children, forwarding, home

USAGE = b"condredirect: usage: condredirect newaddress program [ arg ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        raise Usage(USAGE)
    if not children.ask(argv[2:], environ):
        return SUCCESS
    forwarding.rewind()
    sender = forwarding.variable(environ, b"SENDER")
    qp = forwarding.send_on(home.find(argv[0], environ), environ, sender, argv[1:2])
    program.say(2, b"condredirect: qp %d\n" % qp)
    return STOP
