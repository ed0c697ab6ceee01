"""http@: print a web page.

Usage: http@ [HOST [PAGE [PORT]]]

    http@ www.example.org news/index.html

HOST is this machine where none is given, PAGE (without the slash in front) is
the first page, PORT is 80.

Behaviour:
The page is asked for by HTTP/1.0, without encryption. The header is left out of
what is printed, and so are empty lines and the CRs at line ends. All addresses
of HOST are tried as by tcpclient.

Environment: see tcpclient.
Runs as: whoever started it.
Faces: the network.
Exit codes: 0 also where no connection was to be had; that is said on descriptor
    2.
"""

from __future__ import annotations

from qmail.host import fds
from qmail.host.program import say
from qmail.stores import dialing


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    fds.standard_open()
    host = argv[1] if len(argv) > 1 else b"0"
    page = argv[2] if len(argv) > 2 else b""
    port = argv[3] if len(argv) > 3 else b"80"
    question = b"GET /%b HTTP/1.0\nHost: %b:%b\n\n" % (page, host, port)
    in_body, rest = False, b""
    for piece in dialing.fetch(host, port, argv[0], environ, question):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if not line:
                in_body = True
            elif in_body:
                say(1, line + b"\n")
    if in_body and rest:
        say(1, rest + b"\n")
    return 0
