"""A message arriving in the queue: from nothing to todo/N, durable, or back to nothing.

Order (nothing of it is optional): the message gets its number N from the inode of its file, which is
made in pid/; intd/N is made for its envelope, or a spare file taken, and the file linked to mess/N; then both are
written; barrier A makes them and the name in mess/ durable; then the envelope is linked into todo/; barrier B makes
that name durable. Only then may anybody be told that the message was accepted. A batch shares both barriers.

While a message arrives its file is locked, so that nobody takes it for a leftover.
"""

from __future__ import annotations

import errno
import os

from qmail.formats.note import Note
from qmail.host import durable, fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.stores.spares import Envelope

# qmail-queue's exit codes for what may go wrong here (qmail-queue(8)).
ACCEPTED, WRITE, HOME, QUEUE, PID, MESS, INTD, TODO = 0, 53, 61, 62, 63, 64, 65, 66

_MOST_PIECES = 256  # of one writev; the system allows 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Refused(Exception):
    """The message cannot be queued now. `code`: what qmail-queue exits with. `full`: the disk has no room."""

    def __init__(self, code: int, error: OSError | None = None) -> None:
        super().__init__(code)
        self.full = error is not None and error.errno in _FULL
        self.code = WRITE if self.full else code
        self.error = error


class Arrival:
    """One message on its way in, the later the higher its `turn`.

    It ends with `drop` or `leave`, or with `Door.commit` and, where that has accepted it, `Door.release`.
    """

    __slots__ = ("_mess", "_paths", "device", "file", "number", "size", "text", "turn", "waiting", "written")

    def __init__(
        self, number: int, device: int, paths: tuple[bytes, bytes, bytes], mess: int, file: Envelope, turn: int
    ) -> None:
        self.number, self.device, self.turn = number, device, turn
        self._paths = paths  # of mess, intd, todo
        self._mess, self.file = mess, file
        self.size = 0  # bytes of the message
        self.waiting = 0  # bytes of it that no one has asked the disk to keep yet
        self.written = 0  # bytes of the envelope
        self.text = b""  # the envelope, where it was written in one piece

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append to the message. Raises Refused; the message is to be dropped then."""
        try:
            size = _write_all(self._mess, pieces)
        except OSError as error:
            raise Refused(WRITE, error) from error
        self.size += size
        self.waiting += size

    def write_out(self) -> None:
        """Have what was written so far on the disk, so that the commit of a large message is short. Raises Refused."""
        try:
            durable.sync_data(self._mess)
        except OSError as error:
            raise Refused(WRITE, error) from error
        self.waiting = 0

    def envelope(self, text: bytes) -> None:
        """Append records of todo/N to the envelope. Raises Refused; the message is to be dropped then."""
        self.text = b"" if self.written else text
        try:
            self.written += _write_all(self.file.descriptor, (text,))
        except OSError as error:
            raise Refused(WRITE, error) from error

    def besides(self, text: bytes) -> None:
        """Append to a whole envelope what was asked for besides. Raises Refused, as `envelope`."""
        before = self.text
        self.envelope(text)
        self.text = before and before + text

    def trim(self) -> None:
        """The envelope is whole: nothing of an earlier one may stand behind it. Raises Refused."""
        if self.written < self.file.old:
            try:
                durable.cut(self.file.descriptor, self.written)
            except OSError as error:
                raise Refused(WRITE, error) from error

    def sync(self) -> None:
        """The message's part of barrier A: its two files. Raises OSError."""
        durable.sync(self._mess)
        durable.sync(self.file.descriptor)

    def link(self) -> None:
        """Into todo/. Raises Refused."""
        try:
            durable.link(self.file.path, self._paths[2])
        except OSError as error:
            raise Refused(TODO, error) from error

    def note(self) -> Note:
        """What qmail-send is told, once todo/N is there."""
        status = os.fstat(self.file.descriptor)
        return Note(self.number, status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns, self.size, self.text)

    def drop(self) -> None:
        """Remove everything that was made. What cannot be removed is left to qmail-clean."""
        take_back([self._paths[0], self.file.path])
        self._close()

    def leave(self) -> None:
        """Let go of a message that is not whole, and is to be looked at: mess/N and intd/N."""
        if self.file.shelf is not None:
            try:
                self.trim()
                durable.rename(self.file.path, self._paths[1])
            except (Refused, OSError):
                take_back([self.file.path])
        self._close()

    def end(self) -> None:
        """Let go of a message that is in todo/, and with its file of the lock."""
        fds.let_go(self._mess)
        if self.file.shelf is not None:
            self.file.shelf.lend(self.number, self.file)
        else:
            self.file.close()

    def _close(self) -> None:
        fds.let_go(self._mess)
        self.file.close()


def take_back(names: list[bytes]) -> None:
    """Remove these, the last one first."""
    for name in reversed(names):
        try:
            durable.remove(name)
        except OSError:
            pass


def _write_all(descriptor: int, pieces: Sequence[bytes]) -> int:
    size = sum(map(len, pieces))
    if len(pieces) > _MOST_PIECES:
        pieces = (b"".join(pieces),)
    written = os.writev(descriptor, pieces)
    if written < size:
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    return size
