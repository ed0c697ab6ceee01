"""qmail-tcpok: forget which hosts lately timed out.

Usage: qmail-tcpok

    qmail-tcpok && svc -a /service/qmail-send      # after the network was away

Behaviour:
Clears queue/lock/tcpto, so that qmail-remote tries every host again at once.
Messages still wait for their time: ALRM makes qmail-send try them now.

Files: queue/lock/tcpto.
Runs as: root, or qmailr.
Exit codes: 0 done; 111 the table cannot be opened, locked or written.
"""

from __future__ import annotations

import fcntl
import os

from qmail.formats.verdict import Temporary
from qmail.host.reasons import reason
from qmail.stores import home, tcpto


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    path = home.find(argv[0], environ).file(b"queue/lock/tcpto")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Temporary(b"unable to write " + path + b": " + reason(error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise Temporary(b"unable to lock " + path + b": " + reason(error)) from error
    try:
        tcpto.clear(descriptor)
    except OSError as error:
        raise Temporary(b"unable to clear " + path + b": " + reason(error)) from error
    return 0
