"""A server before warm qmail-smtpds, for tests that choose the whole environment of each session.

    smtpd_server.py HOME UID GID      (0 0: stay who you are)

It says its port. For each line of standard input, an environment in JSON, it takes one connection and
says `served` or `refused`, and, once a served session is over, its raw wait status.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "src"))

from qmail.host import identity, signals
from qmail.services import smtpd


def main(home: str, uid: int, gid: int) -> None:
    """Serve until the end of input."""
    signals.ignore(signals.PIPE)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    if uid:
        identity.become(uid, gid)
    base = {b"QMAIL_HOME": os.fsencode(home)}
    warm = smtpd.resident([os.fsencode(home) + b"/bin/qmail-smtpd"], base)
    assert warm is not None
    warm.begin([listener.fileno()])
    for number, line in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        environ = {name.encode("latin-1"): value.encode("latin-1") for name, value in json.loads(line).items()}
        connection, _ = listener.accept()
        served = warm.serve(connection.fileno(), {**base, **environ}, number)
        connection.close()
        print("served" if served else "refused", flush=True)
        while served:
            for descriptor in select.select(list(warm.descriptors()), [], [], 60)[0]:
                for ended, status in warm.ended(descriptor):
                    assert ended == number
                    print(status, flush=True)
                    served = False
    warm.close()


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
