"""forward: send a message on to other addresses.

A program for lines of .qmail files.

Usage: forward ADDRESS...

    |forward sue@example.org bill@example.org
    |forward sue-"$DEFAULT"@example.org

Unlike a forward line of .qmail, the addresses may depend on the environment.

Behaviour:
The message goes back into the queue with a Delivered-To line (DTLINE) in front,
from NEWSENDER. ADDRESS is taken as it stands: an address without a host goes to
envnoathost.

Environment: NEWSENDER and DTLINE, set by qmail-local; QMAILQUEUE replaces
qmail-queue.
Runs as: the recipient.
Exit codes: 0 queued; 100 refused for good, or a variable is missing; 111 try
    again.
"""

from __future__ import annotations

from qmail.host import program
from qmail.stores import forwarding, home


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    sender = forwarding.variable(environ, b"NEWSENDER")
    qp = forwarding.send_on(home.find(argv[0], environ), environ, sender, argv[1:])
    program.say(2, b"forward: qp %d\n" % qp)
    return 0
