"""finger@: show what a host says of a user.

Usage: finger@ [HOST [USER]]

    finger@ example.org joe

HOST is this machine where none is given, USER is all of them; the port is 79
(finger).

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
    return dialing.show(
        argv[1] if len(argv) > 1 else b"0", b"79", argv[0], environ, (argv[2] if len(argv) > 2 else b"") + b"\n"
    )
