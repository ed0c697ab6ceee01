"""Envelopes, and those of them that are used again: making and deleting files costs most of all.

A spare one has a name of its own in queue/spare/, and todo/N is a second one, for as long as message N is there. When
mess/N is gone, todo/N went before it, durably, and the file is the next message's. qmail-queued makes them, keeps them
open, and empties spare/ at its start: where it cannot be, nothing is kept.

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

    __slots__ = ("descriptor", "lent", "old", "path", "spare")

    def __init__(self, path: bytes, *, spare: bool = False) -> None:
        self.path, self.spare = path, spare
        self.descriptor, self.old = durable.create(path), 0
        self.lent = 0.0  # when its message was accepted

    def close(self) -> None:
        """Let go of it."""
        fds.let_go(self.descriptor)


class Spares:
    """The files in spare/ of a queue, and the messages whose envelopes they are."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._directory = queue.root + b"/spare"
        self._names = 0
        self._free: list[Envelope] = []
        self._lent: dict[int, Envelope] = {}  # by their messages' numbers
        self._wanted = 0  # those there were too few of
        self.most = min(MOST, fds.most() // SHARE)
        self._clear()

    def _clear(self) -> None:
        """Remove all: after a crash nobody knows what names lead here."""
        try:
            os.mkdir(self._directory, 0o700)
        except OSError:
            pass  # there, or there cannot be one
        try:
            for name in os.listdir(self._directory):
                durable.remove(self._directory + b"/" + name)
        except OSError:
            pass

    def take(self, number: int) -> Envelope | None:
        """One for the new message `number`, or None."""
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
        if os.path.lexists(self._queue.file(b"mess", number)):
            if clock.monotonic() < found.lent + PATIENCE or os.fstat(found.descriptor).st_nlink > 1:
                self._lent[number] = found
            else:
                self.give_up(found)
            return None
        return found if self._is_ours(found) else None

    def _is_ours(self, found: Envelope) -> bool:
        """May it be used? It is given up otherwise."""
        try:
            status = os.lstat(found.path)
        except OSError:
            status = None  # somebody has emptied the queue
        if status is not None and status.st_nlink == 1 and status.st_size <= LARGEST:
            found.old, found.lent = status.st_size, 0.0
            os.lseek(found.descriptor, 0, os.SEEK_SET)
            return True
        self.give_up(found)
        return False

    def lend(self, number: int, envelope: Envelope) -> None:
        """It is that of message `number`, which was accepted."""
        envelope.lent = clock.monotonic()
        self._lent[number] = envelope

    def give_up(self, envelope: Envelope) -> None:
        """It is not to be used again."""
        try:
            durable.remove(envelope.path)
        except OSError:
            pass  # a start removes it
        envelope.close()

    def stock(self) -> None:
        """Make as many as there were too few of lately."""
        room = self.most - len(self._free) - len(self._lent)
        wanted, self._wanted = min(self._wanted, room), 0
        for _file in range(wanted):
            self._names += 1
            try:
                self._free.append(Envelope(b"%b/%d" % (self._directory, self._names), spare=True))
            except OSError:
                return  # the next message does without
