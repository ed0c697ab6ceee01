"""The door of the queue: numbers for new messages, and the two barriers that a batch of them shares.

See `arrival` for the order in which a message comes in.
"""

from __future__ import annotations

import math
import os

from qmail.host import clock, durable, fds
from qmail.rules.barriers import Trials
from qmail.stores import queue as queues
from qmail.stores.arrival import HOME, INTD, MESS, PID, QUEUE, WRITE, Arrival, Refused, take_back
from qmail.stores.spares import Envelope, Spares
from qmail.stores.whole import Whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.stores.queue import Queue

BATCH_FOR_WHOLE = 3  # messages from which on one syncfs is cheaper than their fsyncs; of fewer that is to be tried
AHEAD = 32  # files, at most, that are made for messages to come
SOON = 0.05  # seconds within which these must
ROW = 5  # batches, each so soon after the one before, from which on even a single message is expected
_SHARE = 32  # of so many descriptors one is for these
_INODES = 10  # taken numbers to step over


class Door:
    """The way into one queue. `syncfs`, where the system has it, makes a whole file system durable."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._intd = queue.root + b"/intd"
        self._names = 0
        self._start = b"%d.%d." % (os.getpid(), int(clock.now()))
        self._whole = Whole(queue.root, (b"pid", b"mess", b"intd", b"todo"))
        self._ahead: list[tuple[bytes, int]] = []  # files for messages to come: names and descriptors
        self._until, self._row = 0.0, 0  # for how long they are kept; batches that followed soon upon each other
        self._turns = 0  # messages that have begun
        self._doubtful = 0  # messages up to this turn had begun when a sync failed that may have been for them, too
        self._trials = {count: Trials() for count in range(1, BATCH_FOR_WHOLE)}
        self.spares = Spares(queue)
        self._most_ahead = min(AHEAD, fds.most() // _SHARE)
        self.held = self._most_ahead + self.spares.most  # descriptors of nobody's messages, at most

    def begin(self, *, alone: bool) -> Arrival:
        """A new message with a number of its own, in mess/ and locked. Raises Refused.

        `alone`: of a program that brings no other one; its files are made for it, as qmail-queue makes them.
        """
        self._turns += 1
        taken: list[int] = []
        try:
            for _attempt in range(_INODES):
                arrival = self._attempt(taken, alone)
                if arrival is not None:
                    return arrival
            raise Refused(INTD)
        finally:
            # Only now: a number that is given back could be given to us again.
            for descriptor in taken:
                fds.let_go(descriptor)

    def _attempt(self, taken: list[int], alone: bool) -> Arrival | None:
        """A new message, or None where its number is taken; what keeps the number from coming again is in `taken`."""
        name, descriptor, status = self._file(alone)
        made, code = [name], PID
        envelope: Envelope | None = None
        try:
            paths = self.queue.arriving(status.st_ino)
            mess, intd, todo = paths
            queues.lock(descriptor)
            # A name of an earlier message with this number may still be there, or come back after a crash.
            if not _is_there(todo):
                code = INTD
                envelope = self._envelope(status.st_ino, intd, alone)
                made.append(envelope.path)
                code = MESS
                durable.link(name, mess)
                made.append(mess)
                code = PID
                durable.remove(name)
                return Arrival(status.st_ino, status.st_dev, paths, descriptor, envelope, self._turns)
        except FileExistsError:
            pass  # an earlier intd/N or mess/N
        except OSError as error:
            _undo(made, envelope)
            fds.let_go(descriptor)
            raise Refused(code, error) from error
        _undo(made, envelope)
        taken.append(descriptor)
        return None

    def _envelope(self, number: int, intd: bytes, alone: bool) -> Envelope:
        """A spare file, or one under the name `intd`, which must not be taken. Raises OSError."""
        if _is_there(intd):
            raise FileExistsError
        # Where no intd/N could be made nothing is accepted, whether one is needed or not.
        usable = not alone and os.access(self._intd, os.W_OK | os.X_OK)
        spare = self.spares.take(number) if usable else None
        return Envelope(intd) if spare is None else spare

    def _file(self, alone: bool) -> tuple[bytes, int, os.stat_result]:
        """A file in pid/, its descriptor, and what it is. Raises Refused."""
        while self._ahead and not alone:
            name, descriptor = self._ahead.pop()
            try:
                status = os.fstat(descriptor)
                if status.st_nlink:
                    return name, descriptor, status
            except OSError:
                take_back([name])
            fds.let_go(descriptor)  # somebody has emptied the queue
        name, descriptor = self._create()
        try:
            return name, descriptor, os.fstat(descriptor)
        except OSError as error:
            take_back([name])
            fds.let_go(descriptor)
            raise Refused(PID, error) from error

    def _create(self) -> tuple[bytes, int]:
        while True:
            self._names += 1
            name = b"%b/pid/%b%d" % (self.queue.root, self._start, self._names)
            try:
                return name, durable.create(name)
            except FileExistsError:
                continue  # of an earlier process with our number and second
            except OSError as error:
                raise Refused(_where(self.queue.root), error) from error

    # ---- who has come will come again: the files of the next messages are made while their clients speak

    def make_ahead(self, count: int, now: float) -> None:
        """So many came from those who bring many: make as many files before the next ones come.

        For a single message only after some others in a row.
        """
        self._row = self._row + 1 if now < self._until else 1
        self._until = now + SOON
        most = min(count, self._most_ahead) if count > 1 or self._row >= ROW else 0
        try:
            while len(self._ahead) < most:
                self._ahead.append(self._create())
        except Refused:
            pass  # who comes is told of it

    def patience(self, now: float) -> float | None:
        """How long those are kept still that were made ahead; None: there are none."""
        return max(self._until - now, 0.0) if self._ahead else None

    def tidy(self, now: float) -> None:
        """Remove what was made ahead, where nobody has come for it."""
        while self._ahead and now >= self._until:
            name, descriptor = self._ahead.pop()
            take_back([name])
            fds.let_go(descriptor)

    # ---- a batch

    def commit(self, arrivals: Sequence[Arrival]) -> list[Refused | None]:
        """Make whole messages durable and give them to qmail-send's side. For each, in order: None, or why not.

        None means accepted. The files are still open, for `note`, until `release`; those of refused ones
        are gone.
        """
        refusals: list[Refused | None] = [None] * len(arrivals)
        for at, arrival in enumerate(arrivals):
            try:
                if arrival.turn <= self._doubtful:
                    raise Refused(WRITE)
                arrival.trim()
            except Refused as refused:
                refusals[at] = refused
        self._barrier_a(arrivals, refusals)
        linked = False
        for at, arrival in enumerate(arrivals):
            if refusals[at] is None:
                try:
                    arrival.link()
                    linked = True
                except Refused as refused:
                    refusals[at] = refused
            if refusals[at] is not None:
                arrival.drop()
        if linked:
            self._barrier_b(arrivals, refusals)
        return refusals

    def release(self, arrivals: Sequence[Arrival]) -> None:
        """These were accepted, and qmail-send was told of them."""
        for arrival in arrivals:
            arrival.end()

    def _barrier_a(self, arrivals: Sequence[Arrival], refusals: list[Refused | None]) -> None:
        trials = self._trials.get(len(arrivals))
        whole = (trials is None or trials.next()) and self._fits(arrivals)
        begin = clock.monotonic()
        if whole:
            try:
                self._whole.sync(files=len(arrivals), size=sum([arrival.waiting for arrival in arrivals]))
            except OSError as error:
                # It may have been in what was written of others, who would not hear of it again.
                self._doubt()
                refusals[:] = [Refused(WRITE, error)] * len(arrivals)
                return
        else:
            self._one_by_one(arrivals, refusals)
        if trials is not None:
            trials.took(whole, clock.monotonic() - begin)

    def _one_by_one(self, arrivals: Sequence[Arrival], refusals: list[Refused | None]) -> None:
        directories: dict[bytes, OSError | None] = {}
        for at, arrival in enumerate(arrivals):
            try:
                arrival.sync()
            except OSError as error:
                refusals[at] = refusals[at] or Refused(WRITE, error)
            directories.setdefault(self.queue.directory(b"mess", arrival.number), None)
        for directory in directories:
            try:
                durable.sync_directory(directory)
            except OSError as error:
                # Another name in it may be lost as well, and nobody would be told of that again.
                self._doubt()
                directories[directory] = error
        for at, arrival in enumerate(arrivals):
            failure = directories[self.queue.directory(b"mess", arrival.number)]
            if failure is not None and refusals[at] is None:
                refusals[at] = Refused(WRITE, failure)

    def _doubt(self) -> None:
        self._doubtful = self._turns
        self.tidy(math.inf)
        self.spares.clear_out()

    def _fits(self, arrivals: Sequence[Arrival]) -> bool:
        """May these be made durable by one syncfs now?"""
        device = self._whole.device
        return self._whole.ready() and all(arrival.device == device for arrival in arrivals)

    def _barrier_b(self, arrivals: Sequence[Arrival], refusals: list[Refused | None]) -> None:
        try:
            durable.sync_directory(self.queue.root + b"/todo")
        except OSError as error:
            # The links stay: that a refused message is delivered is allowed, that an accepted one is lost is not.
            for at, arrival in enumerate(arrivals):
                if refusals[at] is None:
                    refusals[at] = Refused(WRITE, error)
                    arrival.end()


def _undo(made: list[bytes], envelope: Envelope | None) -> None:
    take_back(made)
    if envelope is not None:
        envelope.close()


def _is_there(path: bytes) -> bool:
    """Raises OSError where that cannot be told."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _where(root: bytes) -> int:
    """Which of qmail-queue's codes says best that no file can be made in pid/."""
    for directory, code in ((os.path.dirname(root), HOME), (root, QUEUE)):
        try:
            os.stat(directory + b"/.")
        except OSError:
            return code
    return PID
