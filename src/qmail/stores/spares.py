"""Files that serve one message after another: making and deleting files costs most of all.

A spare is two files, each with a lasting name in queue/spare/. While it serves a message, mess/N is a second name
of the one, N being its inode, and todo/N of the other. When both are gone again, todo/N went before mess/N, durably,
and the next message may have it. qmail-queued makes them, keeps them open, and empties spare/ at its start: where it
cannot be, where the queue's directories are on different disks, or the system cannot tell who has a file open (no
leases, fcntl(2)), nothing is kept.

The recipients' processes had the message's file open: it is used again only when nobody has. A file that another name
leads to is nobody's to use again, whoever has made that name; nor is one of a large message.
"""

from __future__ import annotations

import os
from collections import deque

from qmail.host import clock, durable, fds, locks
from qmail.stores import queue as queues
from qmail.stores.arrival import File

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.queue import Queue

MOST = 256  # spares, each of them two open files
SHARE = 16  # of so many descriptors one is for a spare
LARGEST = 65536  # bytes of a message, and of an envelope
LOOKS = 3  # at messages that may be gone, for one that comes
PATIENCE = 2.0  # seconds for a first attempt: a message that stays longer has files of other kinds
IDLE = 60.0  # seconds that a spare is kept for messages that do not come


class Spare:
    """The files of one message after another; `number` is that of each of them."""

    __slots__ = ("_shelf", "envelope", "lent", "message")

    def __init__(self, shelf: Spares, path: bytes) -> None:
        """Make them. Raises OSError, and nothing is left."""
        self._shelf = shelf
        # Not for everybody: who has had it open cannot open it once more by its name in /proc.
        self.message = File(path + b".mess", 0o640)
        try:
            os.fchown(self.message.descriptor, -1, shelf.group)
            self.envelope = File(path + b".todo")
        except OSError:
            self.message.remove()
            raise
        self.lent = clock.monotonic()  # when its message was accepted, or it was made
        shelf.count += 1

    def is_free(self) -> bool:
        """Is it nobody's but ours? Raises OSError where that cannot be told."""
        alone = self.message.names() == self.envelope.names() == 1
        return alone and locks.opened_by_nobody_else(self.message.descriptor)

    def is_lost(self, now: float) -> bool:
        """Is there nothing to wait for: its message has come to stay, or its files have gone? Raises OSError."""
        names = self.envelope.names()
        return not self.message.names() or not names or (names == 1 and now >= self.lent + PATIENCE)

    def begin_again(self) -> None:
        """What comes is for its next message. Raises OSError."""
        self.message.begin_again()
        self.envelope.begin_again()

    def lend(self, largest: int) -> None:
        """The message that came in has it, no file of which has more than `largest` bytes, until that is gone."""
        try:
            queues.unlock(self.message.descriptor)
        except OSError:
            largest = LARGEST + 1  # closed it is unlocked
        if largest > LARGEST:
            self.give_up()
        else:
            self.lent = clock.monotonic()
            self._shelf.lent.append(self)

    def give_up(self) -> None:
        """It is not to be used again; a message that has it keeps its own names for it."""
        self.message.remove()
        self.envelope.remove()
        self._shelf.count -= 1


class Spares:
    """The spares of a queue. `count`: how many there are; `group`: whose processes read messages."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._directory = queue.root + b"/spare"
        self._names = 0
        self._free: list[Spare] = []  # those that serve none
        self.lent: deque[Spare] = deque()  # those that do, or did when they were looked at
        self._wanted = 0  # those there were too few of
        self.count = 0
        self.group = -1
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
        """Can a file have names here and where messages come in, and is it told who has it open?"""
        try:
            file = File(self._directory + b"/try", 0o640)
        except OSError:
            return False
        try:
            self.group = os.stat(self._queue.root + b"/mess").st_gid
            os.fchown(file.descriptor, -1, self.group)
            for name in self._queue.arriving(file.inode)[:2]:
                durable.link(file.path, name)
                durable.remove(name)
            return locks.opened_by_nobody_else(file.descriptor)
        except OSError:
            return False
        finally:
            file.remove()

    def take(self) -> Spare | None:
        """One that is free, or None."""
        while self._free:
            found = self._free.pop()
            if self._is_ours(found):
                return found
        for _look in range(min(LOOKS, len(self.lent))):
            found = self.lent.popleft()
            if self._is_ours(found):
                return found
        self._wanted += 1
        return None

    def _is_ours(self, found: Spare) -> bool:
        """May it be used now? It is looked at again otherwise, or given up."""
        try:
            if found.is_free():
                found.begin_again()
                return True
            lost = found.is_lost(clock.monotonic())
        except OSError:
            lost = False  # nobody knows
        if lost:
            found.give_up()
        else:
            self.lent.append(found)
        return False

    def stock(self) -> None:
        """Make as many as there were too few of lately."""
        wanted, self._wanted = min(self._wanted, self.most - self.count), 0
        for _spare in range(wanted):
            self._names += 1
            try:
                self._free.append(Spare(self, b"%b/%d" % (self._directory, self._names)))
            except OSError:
                return  # the next message does without

    def tidy(self, now: float) -> None:
        """Let go of those that have not been used for long."""
        for spares in (self._free, self.lent):
            for spare in [spare for spare in spares if now >= spare.lent + IDLE]:
                spares.remove(spare)
                spare.give_up()

    def clear_out(self) -> None:
        """What was made may be lost, and nobody is told of it: make others."""
        while self._free:
            self._free.pop().give_up()
