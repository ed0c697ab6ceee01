"""qmail-qstat: counts the messages in the queue.

Usage: qmail-qstat

    messages in queue: 26
    messages in queue but not yet preprocessed: 0

Behaviour:
The second number is that of messages in todo/: those that qmail-send has not
taken over, and those in their first attempt. The first includes them.

Files: queue/: mess, todo.
Runs as: root, or the owner in single-user mode.
Exit codes: 0; 111 the queue cannot be read.
"""

from __future__ import annotations

import os
import stat

from qmail.formats.verdict import Temporary
from qmail.host import fds
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores.queue import split


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    queue = homes.find(argv[0], environ).queue
    try:
        messages = sum(_files(b"%b/mess/%d" % (queue, part)) for part in range(split(queue)))
        waiting = _files(queue + b"/todo")
    except OSError as error:
        raise Temporary(b"unable to read " + queue + b": " + reason(error)) from error
    text = b"messages in queue: %d\nmessages in queue but not yet preprocessed: %d\n"
    fds.write_all(1, text % (messages, waiting))
    return 0


def _files(directory: bytes) -> int:
    count = 0
    for name in os.listdir(directory):
        try:
            count += stat.S_ISREG(os.lstat(directory + b"/" + name).st_mode)
        except FileNotFoundError:
            continue  # it has just left
    return count
