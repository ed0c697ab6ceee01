"""A message arriving in the queue: from nothing to todo/N, durable, or back to nothing.

Order (nothing of it is optional): the message gets its number N from the inode of its file. That is made in pid/,
and intd/N for its envelope, or both are those of a spare (`spares`). The file is linked to mess/N; then both are
written; barrier A makes them and the name in mess/ durable; then the envelope is linked into todo/; barrier B makes
that name durable. Only then may anybody be told that the message was accepted. A batch shares both barriers.

While a message arrives its file is locked, so that nobody takes it for a leftover.
"""

from __future__ import annotations

import errno
import os

from qmail.formats.note import LARGEST_NOTE, Note
from qmail.host import durable
from qmail.stores.arrivingfile import take_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.stores.arrivingfile import File
    from qmail.stores.spares import Spare

# qmail-queue's exit codes for what may go wrong here (qmail-queue(8)).
ACCEPTED, WRITE, HOME, QUEUE, PID, MESS, INTD, TODO = 0, 53, 61, 62, 63, 64, 65, 66

HELD = LARGEST_NOTE  # bytes of an envelope that are kept in memory
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
    """One message on its way in, the later the higher its `turn`. Its envelope is the `records` of todo/N.

    It ends with `drop` or `leave`, or with `Door.commit` and, where that has accepted it, `Door.release`.
    """

    __slots__ = ("_paths", "_spare", "_written", "message", "number", "records", "size", "text", "turn", "waiting")

    def __init__(
        self, paths: tuple[bytes, bytes, bytes], message: File, records: File, turn: int, spare: Spare | None = None
    ) -> None:
        self.number, self.turn = message.inode, turn
        self._paths = paths  # of mess, intd, todo
        self.message, self.records = message, records
        self._spare = spare  # whose files they are
        self.size = 0  # bytes of the message
        self.waiting = 0  # bytes of it that no one has asked the disk to keep yet
        self._written = 0  # bytes of the envelope
        self.text = b""  # what was not written of it; when it is complete, all of it, or nothing where it is long

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append to the message. Raises Refused; the message is to be dropped then."""
        try:
            size = _write_all(self.message.descriptor, pieces)
        except OSError as error:
            raise Refused(WRITE, error) from error
        self.size += size
        self.waiting += size

    def write_out(self) -> None:
        """Have the disk begin with what was written so far, so that the commit of a large message is short."""
        durable.begin_writing(self.message.descriptor)
        self.waiting = 0

    def envelope(self, text: bytes) -> None:
        """Append records of todo/N. Raises Refused; the message is to be dropped then."""
        self.text += text
        if len(self.text) > HELD:
            self._write_records()

    def _write_records(self) -> None:
        try:
            self._written += _write_all(self.records.descriptor, (self.text,))
        except OSError as error:
            raise Refused(WRITE, error) from error
        self.text = b""

    @property
    def enveloped(self) -> bool:
        """Has anything of the envelope come?"""
        return bool(self.text or self._written)

    def complete(self) -> None:
        """It is whole: nothing of an earlier one may stand behind it. Raises Refused.

        Envelopes are written only now: those of a batch together, behind its messages, are fewer writes for the disk.
        """
        text = self.text if not self._written else b""
        self._write_records()
        self.text = text
        try:
            self.message.cut(self.size)
            self.records.cut(self._written)
        except OSError as error:
            raise Refused(WRITE, error) from error

    def sync(self) -> None:
        """The message's part of barrier A: its two files. Raises OSError."""
        durable.sync(self.message.descriptor)
        durable.sync(self.records.descriptor)

    def link(self) -> None:
        """Into todo/. Raises Refused."""
        try:
            durable.link(self.records.path, self._paths[2])
        except OSError as error:
            raise Refused(TODO, error) from error

    def note(self) -> Note:
        """What qmail-send is told, once todo/N is there."""
        status = os.fstat(self.records.descriptor)
        return Note(self.number, status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns, self.size, self.text)

    def drop(self) -> None:
        """Remove everything that was made. What cannot be removed is left to qmail-clean."""
        if self._spare is not None:
            take_back([self._paths[0]])
            self._spare.give_up()
        else:
            take_back([self._paths[0], self.records.path])
            self._close()

    def leave(self) -> None:
        """Let go of a message that is not whole, and is to be looked at: mess/N and intd/N."""
        try:
            self.complete()
            if self._spare is not None:
                durable.link(self.records.path, self._paths[1])
        except (Refused, OSError):
            pass  # it will be missed by nobody
        if self._spare is not None:
            self._spare.give_up()
        else:
            self._close()

    def end(self) -> None:
        """Let go of a message that is in todo/, and of its lock."""
        if self._spare is not None:
            self._spare.lend(self.size, self._written)
        else:
            self._close()

    def _close(self) -> None:
        self.message.close()
        self.records.close()


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
