"""maildirqmtp: send the messages of a Maildir to a host, by QMTP.

For hosts that are not always connected: qmail delivers what is for them into a
Maildir, and they, or a timer, have it sent on when there is a line.

Usage: maildirqmtp DIR PREFIX HOST

    echo 'virt.example.org:joe-ppp' >> /var/qmail/control/virtualdomains
    echo ./pppdir/ > ~joe/.qmail-ppp-default
    setlock -nx ~joe/pppdir.lock maildirqmtp ~joe/pppdir joe-ppp- mail.example.org

PREFIX is what stands in front of the real recipients in the lines Delivered-To
of the messages: it is taken off, and messages without it are left alone.

Behaviour:
What HOST accepts is removed. What it refuses for good is returned to its sender,
and removed, and so is what it refuses for now and what is older than two weeks
(1,209,600 seconds). Where HOST cannot be reached, nothing happens, for however
long. It runs `maildirserial -b -t 1209600` with tcpclient and serialqmtp, whose
manuals say more; tcpclient is searched in PATH, and then beside this program.

Environment: PATH; QMAIL_HOME; and those of maildirserial.
Files: DIR/new, DIR/cur, DIR/tmp.
Runs as: the owner of DIR.
Faces: the network.
Exit codes: 0 nothing is left; 100 usage; 111 something is left, or HOST cannot
    be reached.
"""

from __future__ import annotations

from qmail.formats.verdict import Usage
from qmail.stores import sendingon

USAGE = b"maildirqmtp: usage: maildirqmtp dir prefix host"
PORT = b"209"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 4:
        raise Usage(USAGE)
    client = [b"serialqmtp", argv[2]]
    sendingon.become(argv[0], environ, (argv[1], argv[2]), (argv[3], PORT), client)
