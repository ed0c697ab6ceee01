"""qmail-upq: puts the files of a queue into the split directories where they belong.

Usage: qmail-upq

    svc -d /service/qmail-send /service/qmail-queued && qmail-upq

For a queue whose number of split directories has changed, and for one from
qmail before 1.02, which had none.

Behaviour:
No qmail program may run meanwhile; where qmail-send does, nothing is touched.
What cannot be moved is named, and the rest is moved all the same. Run again it
moves what is left.

Files: queue/: mess, info, local, remote.
Runs as: root, or the owner in single-user mode.
Exit codes: 0; 111 qmail-send is running, or something could not be moved.
"""

from __future__ import annotations

import os

from qmail.formats.queuefile import SPLIT_KINDS
from qmail.formats.verdict import TEMPORARY, Temporary
from qmail.host import durable, fds, locks
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores.queue import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    queue = homes.find(argv[0], environ).queue
    try:
        if locks.take(queue + b"/lock/sendmutex") is None:
            raise Temporary(b"qmail-send is running")
        parts = split(queue)
        moved = [_move(queue, kind, path, parts) for kind in SPLIT_KINDS for path in _files(queue + b"/" + kind)]
    except OSError as error:
        raise Temporary(b"unable to work on " + queue + b": " + reason(error)) from error
    return 0 if all(moved) else TEMPORARY


def _files(directory: bytes) -> Iterator[bytes]:
    """Every message file below it. Raises OSError."""
    for name in os.listdir(directory):
        path = directory + b"/" + name
        if os.path.isdir(path) and not os.path.islink(path):
            yield from [path + b"/" + inner for inner in os.listdir(path) if inner.isdigit()]
        elif name.isdigit():
            yield path


def _move(queue: bytes, kind: bytes, path: bytes, parts: int) -> bool:
    number = int(os.path.basename(path))
    target = b"%b/%b/%d/%d" % (queue, kind, number % parts, number)
    if path == target or not os.path.isfile(path):
        return True
    try:
        if os.path.lexists(target):
            raise FileExistsError
        durable.rename(path, target)
        durable.sync_directory(os.path.dirname(target))
        durable.sync_directory(os.path.dirname(path))
    except OSError as error:
        fds.write_all(2, b"qmail-upq: unable to move " + path + b": " + reason(error) + b"\n")
        return False
    return True
