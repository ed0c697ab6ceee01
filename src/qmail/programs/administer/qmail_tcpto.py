"""qmail-tcpto: show the hosts that lately timed out.

Usage: qmail-tcpto

    192.0.2.7 timed out 132 seconds ago; # recent timeouts: 2

Behaviour:
One line for each address in queue/lock/tcpto: when it last timed out, and how
often lately. An address with two or more timeouts is left alone by qmail-remote
for about an hour; qmail-tcpok forgets them.

Files: queue/lock/tcpto.
Runs as: root, or qmailr.
Exit codes: 0 shown; 111 the table cannot be read (said on standard output).
"""

from __future__ import annotations

import fcntl
import os
import time

from qmail.formats import tcpto
from qmail.host import connect, fds
from qmail.host.reasons import reason
from qmail.stores import home


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    path = home.find(argv[0], environ).file(b"queue/lock/tcpto")
    step = b"open"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        step = b"lock"
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        step = b"read"
        table = os.read(descriptor, tcpto.SIZE)
    except OSError as error:
        fds.write_all(1, b"fatal: unable to " + step + b" tcpto: " + reason(error) + b"\n")
        return 111
    os.close(descriptor)
    now = int(time.time())
    for record in tcpto.records(table):
        ago = (now - record.when) & 0xFFFFFFFFFFFFFFFF
        words = (connect.text(record.address), ago, record.timeouts)
        fds.write_all(1, b"%b timed out %d seconds ago; # recent timeouts: %d\n" % words)
    return 0
