"""tcpcat: print what a server sends.

Usage: tcpcat [HOST [PORT]]

    tcpcat ftp.example.org 21

HOST is this machine where none is given, PORT is 17 (qotd).

Behaviour:
Nothing is sent. Binary data pass unchanged. It ends when the server hangs up.
All addresses of HOST are tried as by tcpclient.

Environment: see tcpclient.
Runs as: whoever started it.
Faces: the network.
Exit codes: 0; 111 no connection.
"""

from __future__ import annotations

from qmail.formats.carriage import Kept
from qmail.formats.verdict import Temporary
from qmail.host import fds, pump
from qmail.stores import dialing


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    fds.standard_open()
    host = argv[1] if len(argv) > 1 else b"0"
    port = argv[2] if len(argv) > 2 else b"17"
    descriptor = dialing.reach(host, port, argv[0], environ)
    try:
        pump.copy(descriptor, 1, Kept())
    except OSError as error:
        raise Temporary from error
    return 0
