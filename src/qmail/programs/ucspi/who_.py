"""who@: show who is logged in at a host.

Usage: who@ [HOST]

    who@ example.org

HOST is this machine where none is given; the port is 11 (systat).

Behaviour:
What the server sends is shown with its control and eight-bit characters made
visible, as by `cat -v`. All addresses of HOST are tried as by tcpclient.

Environment: see tcpclient.
Runs as: whoever started it.
Faces: the network.
Exit codes: 0 also where no connection was to be had; that is said on descriptor
    2.
"""

from __future__ import annotations

from qmail.formats.carriage import visible
from qmail.host import fds
from qmail.host.program import say
from qmail.stores import dialing


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    fds.standard_open()
    host = argv[1] if len(argv) > 1 else b"0"
    for piece in dialing.fetch(host, b"11", argv[0], environ):
        say(1, visible(piece))
    return 0
