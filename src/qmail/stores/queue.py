"""The queue on disk: where its files are, and what both of its sides ask.

Names are made and removed by `arrival` (accepting and cleaning, user qmailq) and by the sending
side (user qmails); each directory has one of them as its owner.
"""

from __future__ import annotations

import fcntl
import os
import struct

from qmail.formats import queuefile

OSSIFIED = 129_600  # seconds (36 hours): what no program has touched for so long, none is working on

_FLOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, pid
_EXCLUSIVE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_ASK = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)


class Queue:
    """The queue below `root`. Every path is absolute, so that it means what stands there now."""

    __slots__ = ("root", "split")

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.split = split(root)

    def file(self, kind: bytes, number: int) -> bytes:
        """The path of message `number`'s file of this kind."""
        return b"%b/%b" % (self.root, queuefile.path(kind, number, self.split))

    def arriving(self, number: int) -> tuple[bytes, bytes, bytes]:
        """The paths of mess, intd and todo of a message, the three that it arrives by."""
        root = self.root
        return (
            b"%b/mess/%d/%d" % (root, number % self.split, number),
            b"%b/intd/%d" % (root, number),
            b"%b/todo/%d" % (root, number),
        )

    def directory(self, kind: bytes, number: int) -> bytes:
        """The path of the directory that it stands in."""
        if kind in queuefile.SPLIT_KINDS:
            return b"%b/%b/%d" % (self.root, kind, number % self.split)
        return b"%b/%b" % (self.root, kind)


def split(root: bytes) -> int:
    """How many directories mess/ is split into: 0, 1, 2 ... without a gap; the usual number where it cannot be seen."""
    try:
        names = set(os.listdir(root + b"/mess"))
    except OSError:
        return queuefile.SPLIT
    count = 0
    while b"%d" % count in names:
        count += 1
    return count or queuefile.SPLIT


def lock(descriptor: int) -> None:
    """Mark a file of the queue as being written by us, until its descriptor is closed. Raises OSError."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _EXCLUSIVE)


def being_written(path: bytes) -> bool:
    """Does a writer hold the lock on this file? False where it is missing. Raises OSError where it cannot be asked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        held: int = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _ASK))[0]
        return held != fcntl.F_UNLCK
    finally:
        os.close(descriptor)
