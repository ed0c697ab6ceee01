"""todo/ as qmail-send sees it: what has been accepted and not yet taken over. It reads there, and removes nothing."""

from __future__ import annotations

import os

from qmail.formats import queuefile
from qmail.host import durable, fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.note import Note
    from qmail.formats.queuefile import Envelope
    from qmail.stores.queue import Queue

    Identity = tuple[int, int] | None

LARGEST = 128 * 1024 * 1024  # bytes of todo/N; qmail-queued takes half of it


class Incoming:
    """The messages in todo/."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._prefix = queue.root + b"/todo/"
        self._directory = os.open(self._prefix, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def numbers(self) -> list[int]:
        """The numbers of all messages there. Raises OSError."""
        return numbers(self._prefix)

    def has(self, number: int) -> bool:
        """Is it there? Raises OSError where that cannot be seen."""
        try:
            os.lstat(self._prefix + b"%d" % number)
        except FileNotFoundError:
            return False
        return True

    def confirms(self, note: Note) -> bool:
        """Does the file bear out what the note says?"""
        try:
            status = os.lstat(self._prefix + b"%d" % note.number)
        except OSError:
            return False
        return (
            status.st_ino == note.inode
            and status.st_ctime_ns == note.ctime_ns
            and status.st_size == note.size == len(note.todo)
            and status.st_dev == note.device
        )  # fmt: skip

    def read(self, number: int) -> Envelope:
        """Who sent it and for whom. Raises OSError, and queuefile.Corrupt."""
        with open(fds.open_to_read(self._prefix + b"%d" % number), "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise queuefile.Corrupt("larger than any that was accepted")
            return queuefile.parse_todo(file.readall() or b"")

    def identity(self, number: int) -> Identity:
        """Which file it is, to tell it from a later one of the same name; None where it cannot be seen."""
        try:
            status = os.lstat(self._prefix + b"%d" % number)
        except OSError:
            return None
        return status.st_ino, status.st_ctime_ns

    def message_name(self, number: int) -> bytes:
        """What the log calls the message's file: `mess/6/1000000`."""
        return queuefile.path(b"mess", number, self._queue.split)

    def size(self, number: int) -> int:
        """The bytes of the message itself. Raises OSError."""
        return os.lstat(self._queue.file(b"mess", number)).st_size

    def sync(self) -> None:
        """Every name removed so far stays away. Raises OSError."""
        durable.sync(self._directory)


def numbers(directory: bytes) -> list[int]:
    """The message numbers among the names in a directory; other names are nobody's. Raises OSError."""
    return [int(name) for name in os.listdir(directory) if name.isdigit() and len(name) < 20 and name[:1] != b"0"]
