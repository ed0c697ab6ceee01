"""The door of the queue: numbers for new messages, and the two barriers that a batch of them shares.

See `arrival` for the order in which a message comes in.
"""

from __future__ import annotations

import os

from qmail.host import clock, durable
from qmail.rules.barriers import Trials
from qmail.stores import queue as queues
from qmail.stores.arrival import HOME, INTD, MESS, PID, QUEUE, WRITE, Arrival, Refused
from qmail.stores.arrivingfile import File, is_there, take_back
from qmail.stores.spares import Spares
from qmail.stores.whole import Whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.stores.queue import Queue
    from qmail.stores.spares import Spare

BATCH_FOR_WHOLE = 3  # messages from which on one syncfs is cheaper than their fsyncs; of fewer that is to be tried
_INODES = 10  # taken numbers to step over


class Door:
    """The way into one queue. `are_ours`: as that of Spares."""

    def __init__(self, queue: Queue, are_ours: Callable[[], bool] = lambda: True) -> None:
        self.queue = queue
        self._names = 0
        self._start = b"%d.%d." % (os.getpid(), int(clock.now()))
        self._whole = Whole(queue.root, (b"pid", b"mess", b"intd", b"todo"))
        self._turns = 0  # messages that have begun
        self._doubtful = 0  # messages up to this turn had begun when a sync failed that may have been for them, too
        self._trials = {count: Trials() for count in range(1, BATCH_FOR_WHOLE)}
        self.spares = Spares(queue, are_ours)
        self.held = 2 * self.spares.most  # descriptors of nobody's messages, at most

    def begin(self, size: int, *, alone: bool) -> Arrival:
        """A new message with a number of its own, in mess/ and locked. `size`: bytes it has by now. Raises Refused.

        `alone`: of a program that brings no other one; its files are made for it, as qmail-queue makes them.
        """
        self._turns += 1
        while not alone and (spare := self.spares.take(size)) is not None:
            arrival = self._in_spare(spare)
            if arrival is not None:
                return arrival
        taken: list[File] = []
        try:
            for _attempt in range(_INODES):
                arrival = self._in_new_files(taken)
                if arrival is not None:
                    return arrival
            raise Refused(INTD)
        finally:
            # Only now: a number that is given back could be given to us again.
            for file in taken:
                file.close()

    def _in_spare(self, spare: Spare) -> Arrival | None:
        """A new message; None where that cannot be, and making files for it will tell why."""
        paths = self.queue.arriving(spare.message.inode)
        try:
            # Nothing is written before this: it tells, too, whether the file is still the spare that it was.
            durable.link(spare.message.path, paths[0])
        except OSError:
            spare.give_up()
            return None
        return Arrival(paths, spare.message, spare.envelope, self._turns, spare)

    def _in_new_files(self, taken: list[File]) -> Arrival | None:
        """A new message, or None where its number is taken; what keeps the number from coming again is in `taken`."""
        message = self._create()
        made, code = [message.path], PID
        records: File | None = None
        try:
            paths = self.queue.arriving(message.inode)
            mess, intd, todo = paths
            queues.lock(message.descriptor)
            # A name of an earlier message with this number may still be there, or come back after a crash.
            if not is_there(todo):
                code = INTD
                records = File(intd)
                made.append(intd)
                code = MESS
                durable.link(message.path, mess)
                made.append(mess)
                code = PID
                durable.remove(message.path)
                return Arrival(paths, message, records, self._turns)
        except FileExistsError:
            pass  # an earlier intd/N or mess/N
        except OSError as error:
            _undo(made, records)
            message.close()
            raise Refused(code, error) from error
        _undo(made, records)
        taken.append(message)
        return None

    def _create(self) -> File:
        while True:
            self._names += 1
            try:
                return File(b"%b/pid/%b%d" % (self.queue.root, self._start, self._names))
            except FileExistsError:
                continue  # of an earlier process with our number and second
            except OSError as error:
                raise Refused(_where(self.queue.root), error) from error

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
                arrival.complete()
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
        self.spares.clear_out()

    def _fits(self, arrivals: Sequence[Arrival]) -> bool:
        """May these be made durable by one syncfs now?"""
        device = self._whole.device
        return self._whole.ready() and all(arrival.message.device == device for arrival in arrivals)

    def _barrier_b(self, arrivals: Sequence[Arrival], refusals: list[Refused | None]) -> None:
        try:
            durable.sync_directory(self.queue.root + b"/todo")
        except OSError as error:
            # The links stay: that a refused message is delivered is allowed, that an accepted one is lost is not.
            for at, arrival in enumerate(arrivals):
                if refusals[at] is None:
                    refusals[at] = Refused(WRITE, error)
                    arrival.end()


def _undo(made: list[bytes], records: File | None) -> None:
    take_back(made)
    if records is not None:
        records.close()


def _where(root: bytes) -> int:
    """Which of qmail-queue's codes says best that no file can be made in pid/."""
    for directory, code in ((os.path.dirname(root), HOME), (root, QUEUE)):
        try:
            os.stat(directory + b"/.")
        except OSError:
            return code
    return PID
