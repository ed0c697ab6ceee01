"""Files that serve one message after another: making and deleting files costs most of all.

A spare is two files, each with a lasting name in queue/spare/. While it serves a message, mess/N is a second name
of the one, N being its inode, and todo/N of the other. When both are gone again, todo/N went before mess/N, durably,
and the next message may have it. qmail-queued makes them, keeps them open, and empties spare/ at its start: where it
cannot be, where the queue's directories are on different disks, or the system cannot tell who has a file open (no
leases, fcntl(2)), nothing is kept.

The recipients' processes had the message's file open: it is used again only when nobody has. That is not seen of the
pages of a file that were spliced into a pipe (splice(2)): programs of users never get the file itself, and there are no
spares where qmail-lspawn is not ours, which sees to that. A file that another name leads to is nobody's to use again,
whoever has made that name; nor is one of a large message.
"""

from __future__ import annotations

import os
from collections import deque
from heapq import heappop, heappush

from qmail.host import clock, durable, fds, locks
from qmail.stores import queue as queues
from qmail.stores.arrivingfile import File, is_there

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.stores.queue import Queue

MOST = 256  # spares, each of them two open files
SHARE = 16  # of so many descriptors one is for a spare
LARGEST = 32768  # bytes of a message, and of an envelope: of what is larger the size is not known when it begins
BLOCK = 4096  # bytes: a file that has as many blocks as the next message needs has none to give back or to find
LOOKS = 3  # at messages that may be gone, for one that comes
PATIENCE = 2.0  # seconds for a first attempt: a message that stays longer has files of other kinds
IDLE = 60.0  # seconds that a spare is kept for messages that do not come


class Spare:
    """The files of one message after another, each with the number that `message` has as its inode."""

    __slots__ = ("_shelf", "envelope", "lent", "message")

    def __init__(self, shelf: Spares, path: bytes) -> None:
        """Make them. Raises OSError, and nothing is left."""
        self._shelf = shelf
        # Not for everybody: who has had it open cannot open it once more by its name in /proc.
        self.message = File(path + b".mess", 0o640)
        try:
            os.fchown(self.message.descriptor, -1, shelf.group)
            queues.lock(self.message.descriptor)  # for good: what somebody writes to is no leftover, nor is the rest
            self.envelope = File(path + b".todo")
        except OSError:
            self.message.remove()
            raise
        self.lent = clock.monotonic()  # when its message was accepted, or it was made
        shelf.count += 1

    def is_over(self) -> bool:
        """Are its message's names gone? Raises OSError where that cannot be told, FileNotFoundError where ours are."""
        return self.message.names() == 1 and self.envelope.names() == 1

    def begin_again(self) -> bool:
        """What is written next is for the next message. False: somebody else has a name of it, or has it open."""
        try:
            if not (self.is_over() and locks.opened_by_nobody_else(self.message.descriptor)):
                return False
            self.message.begin_again()
            self.envelope.begin_again()
        except OSError:
            return False
        return True

    def has_gone_on(self, now: float) -> bool:
        """Has the message that has it other files by now, and come to stay? Raises OSError."""
        return now >= self.lent + PATIENCE and os.fstat(self.envelope.descriptor).st_nlink < 2

    def lend(self, size: int, envelope: int) -> None:
        """The message that came in has it, of so many bytes and an envelope of so many, until that is gone."""
        if max(size, envelope) > LARGEST:
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
    """The spares of a queue. `count`: how many there are; `group`: whose processes read messages.

    `are_ours`: do the programs of users get copies of messages?
    """

    def __init__(self, queue: Queue, are_ours: Callable[[], bool]) -> None:
        self._queue, self._are_ours = queue, are_ours
        self._directory = queue.root + b"/spare"
        self._names = 0
        # Those that serve no message, by the blocks that they have. The first of them is taken: so those that are used
        # are few, and side by side on the disk.
        self._free: list[list[tuple[int, Spare]]] = [[] for _ in range(_blocks(LARGEST) + 1)]
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

    def take(self, size: int) -> Spare | None:
        """One that is free for a message of `size` bytes, or None."""
        if size > LARGEST:
            return None
        self._look()
        fit = self._free[_blocks(size)] or self._free[0]
        if not fit and self.count == self.most:
            fit = max(self._free, key=len)  # one more cannot be made, and blocks cost less than files
        for _look in range(min(LOOKS, len(fit))):
            found = heappop(fit)[1]
            if found.begin_again():
                return found
            self.lent.append(found)
        self._wanted += 1
        return None

    def _look(self) -> None:
        """See which are free of those that were not looked at for longest; behind one that is not, hardly any is."""
        for _look in range(min(LOOKS, len(self.lent))):
            spare = self.lent.popleft()
            try:
                if spare.is_over():
                    heappush(self._free[_blocks(spare.message.old)], (spare.message.inode, spare))
                    continue
                lost = spare.has_gone_on(clock.monotonic())
            except FileNotFoundError:
                lost = True
            except OSError:
                lost = False  # nobody knows
            if lost:
                spare.give_up()
            else:
                self.lent.append(spare)
            return

    def stock(self) -> None:
        """Make as many as there were too few of lately."""
        wanted, self._wanted = min(self._wanted, self.most - self.count), 0
        if wanted > 0 and not self._are_ours():
            return
        for _spare in range(wanted):
            self._names += 1
            try:
                made = Spare(self, b"%b/%d" % (self._directory, self._names))
            except OSError:
                return  # the next message does without
            if self._is_taken(made.message.inode):
                made.give_up()
            else:
                heappush(self._free[0], (made.message.inode, made))

    def _is_taken(self, number: int) -> bool:
        """Is there something of an earlier message with this number? From now on nobody else is given it."""
        try:
            return any(map(is_there, self._queue.arriving(number)))
        except OSError:
            return True  # there may be

    def tidy(self, now: float) -> None:
        """Let go of those that have not been used for long, and of all where programs get the files themselves."""
        idle = IDLE if self._are_ours() else 0.0
        lent, self.lent = self.lent, deque()
        for spare in [*lent, *self._clear_out()]:
            if now >= spare.lent + idle:
                spare.give_up()
            else:
                self.lent.append(spare)

    def clear_out(self) -> None:
        """What was made may be lost, and nobody is told of it: make others."""
        for spare in self._clear_out():
            spare.give_up()

    def _clear_out(self) -> list[Spare]:
        found = [spare for free in self._free for _, spare in free]
        for free in self._free:
            free.clear()
        return found


def _blocks(size: int) -> int:
    return -(-size // BLOCK)
