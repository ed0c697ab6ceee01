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

from qmail.stores import dialing


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    return dialing.show(argv[1] if len(argv) > 1 else b"0", b"11", argv[0], environ)
