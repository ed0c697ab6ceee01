"""mconnect: talk to an SMTP server by hand.

Usage: mconnect [HOST [PORT]]

    mconnect mx.example.org
    (echo HELO me; echo QUIT) | mconnect mx.example.org

HOST is this machine where none is given, PORT is 25.

Behaviour:
Standard input goes to the server, a CR put in at each line end; what the server
says goes to standard output as it is. It ends when the server hangs up, not at
the end of the input: say QUIT. All addresses of HOST are tried as by tcpclient.

Environment: see tcpclient.
Runs as: whoever started it.
Faces: the network.
Exit codes: 0; 111 no connection.
"""

from __future__ import annotations

import os

from qmail.formats.carriage import Added, Kept
from qmail.host import fds, signals
from qmail.host.pump import Flow, relay
from qmail.stores import dialing


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    fds.standard_open()
    signals.ignore(signals.PIPE)
    host = argv[1] if len(argv) > 1 else b"0"
    port = argv[2] if len(argv) > 2 else b"25"
    descriptor = dialing.reach(host, port, argv[0], environ)
    answers = Flow(descriptor, 1, Kept())
    relay([Flow(0, os.dup(descriptor), Added()), answers], answers)
    return 0
