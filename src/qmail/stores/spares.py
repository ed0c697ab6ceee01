"""Envelopes, and those of them that are used again: making and deleting files costs most of all.

A spare one has a name of its own in queue/spare/, and todo/N is a second one, for as long as message N is there. When
mess/N is gone, todo/N went before it, durably, and the file is the next message's. qmail-queued makes them, keeps them
open, and empties spare/ at its start: where it cannot be, or todo/ is on another disk, nothing is kept.

Only envelopes: a message's file was open in the processes of its recipients, and whoever kept it open could read
what is written into it later. An envelope was open in qmail-send alone. A file that a second name leads to is
nobody's to use again, whoever has made that name.
"""

from __future__ import annotations

import os

from qmail.host import clock, durable, fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.queue import Queue

MOST = 256  # files, each of them open
SHARE = 8  # of so many descriptors one is for them
LARGEST = 4096  # bytes of one
LOOKS = 3  # at messages that may be gone, for one that comes
PATIENCE = 10.0  # seconds for a first attempt: a message that stays longer has files of other kinds


class Envelope:
    """A file for the envelope of one message: open for writing, with `old` bytes of an earlier one in it."""

    __slots__ = ("descriptor", "inode", "lent", "old", "path", "shelf")

    def __init__(self, path: bytes, shelf: Spares | None = None) -> None:
        self.path, self.shelf = path, shelf  # the latter: whose spare it is
        self.descriptor, self.old = durable.create(path), 0
        self.inode, self.lent = 0, 0.0  # of a spare one: what it is; when its message was accepted

    def close(self) -> None:
        """Let go of it."""
        fds.let_go(self.descriptor)
        if self.shelf is not None:
            self.shelf.count -= 1

    def give_up(self) -> None:
        """It is not to be used again."""
        try:
            durable.remove(self.path)
        except OSError:
            pass  # a start removes it
        self.close()


class Spares:
    """The files in spare/ of a queue, and the messages whose envelopes they are. `count`: how many there are."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._directory = queue.root + b"/spare"
        self._names = 0
        self._free: list[Envelope] = []
        self._lent: dict[int, Envelope] = {}  # by their messages' numbers
        self._wanted = 0  # those there were too few of
        self.count = 0
        self._clear()
        self.most = min(MOST, fds.most() // SHARE) if self._fits() else 0

    def _clear(self) -> None:
        """Remove all: after a crash nobody knows what names lead here."""
        try:
            os.mkdir(self._directory, 0o700)
        except OSError:
            pass  # there, or there cannot be one
        try:
            names = os.listdir(self._directory)
        except OSError:
            return
        for name in names:
            try:
                durable.remove(self._directory + b"/" + name)
            except OSError:
                pass  # nobody takes it: only what is made from now on is used

    def _fits(self) -> bool:
        """Can a file have names here and where messages come in?"""
        here, there = self._directory + b"/try", self._queue.root + b"/intd/spare.try"
        try:
            durable.remove(there)
            os.close(durable.create(here))
            try:
                durable.link(here, there)
                return durable.remove(there)
            finally:
                durable.remove(here)
        except OSError:
            return False

    def take(self, number: int) -> Envelope | None:
        """One for the new message `number`, or None. Raises OSError."""
        # Of an earlier message with this number nothing is left, or the number could not have been given again.
        found = self._lent.pop(number, None)
        if found is not None and self._is_ours(found):
            return found
        while self._free:
            found = self._free.pop()
            if self._is_ours(found):
                return found
        for _look in range(min(LOOKS, len(self._lent))):
            if (found := self._look()) is not None:
                return found
        self._wanted += 1
        return None

    def _look(self) -> Envelope | None:
        """That of the message that has not been looked at for longest, where the message is gone."""
        number = next(iter(self._lent))
        found = self._lent.pop(number)
        try:
            os.lstat(self._queue.file(b"mess", number))
        except FileNotFoundError:
            return found if self._is_ours(found) else None
        except OSError:
            pass  # nobody knows
        if clock.monotonic() < found.lent + PATIENCE or self._is_in_todo(found):
            self._lent[number] = found
        else:
            found.give_up()
        return None

    def _is_in_todo(self, found: Envelope) -> bool:
        try:
            return os.fstat(found.descriptor).st_nlink > 1
        except OSError:
            return True  # it may be

    def _is_ours(self, found: Envelope) -> bool:
        """May it be used? It is given up otherwise."""
        try:
            status = os.lstat(found.path)
            if status.st_ino == found.inode and status.st_nlink == 1 and status.st_size <= LARGEST:
                found.old = os.lseek(found.descriptor, 0, os.SEEK_SET) or status.st_size
                return True
        except OSError:
            pass  # somebody has emptied the queue
        found.give_up()
        return False

    def lend(self, number: int, envelope: Envelope) -> None:
        """It is that of message `number`, whose name in todo/ has been made."""
        envelope.lent = clock.monotonic()
        self._lent[number] = envelope

    def stock(self) -> None:
        """Make as many as there were too few of lately."""
        wanted, self._wanted = min(self._wanted, self.most - self.count), 0
        for _file in range(wanted):
            self._names += 1
            try:
                made = Envelope(b"%b/%d" % (self._directory, self._names), self)
            except OSError:
                return  # the next message does without
            self.count += 1
            self._free.append(made)
            made.inode = _inode(made.descriptor)

    def clear_out(self) -> None:
        """What was made may be lost, and nobody is told of it: make others."""
        while self._free:
            self._free.pop().give_up()


def _inode(descriptor: int) -> int:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return 0  # that is none, and it is not used
