"""A message arriving in the queue: from nothing to todo/N, durable, or back to nothing.

Order (nothing of it is optional): the message gets its number from the inode of its file, which is
made in pid/ and linked into mess/; then the message and intd/N are written; barrier A makes them and
the name in mess/ durable; then intd/N is linked into todo/; barrier B makes that name durable. Only
then may anybody be told that the message was accepted. A batch shares both barriers.

While a message arrives its file is locked, so that nobody takes it for a leftover.
"""

from __future__ import annotations

import errno
import os

from qmail.formats.note import Note
from qmail.host import clock, durable
from qmail.stores import queue as queues

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.stores.queue import Queue

# qmail-queue's exit codes for what may go wrong here (qmail-queue(8)).
ACCEPTED, WRITE, HOME, QUEUE, PID, MESS, INTD, TODO = 0, 53, 61, 62, 63, 64, 65, 66

BATCH_FOR_WHOLE = 3  # messages from which on one syncfs is cheaper than their fsyncs
SLOW = 0.05  # seconds: a syncfs that took longer wrote somebody else's data
PAUSE = 10.0  # seconds without syncfs after a slow one
_MOST_PIECES = 256  # of one writev; the system allows 1024
_INODES = 10  # taken numbers to step over
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Refused(Exception):
    """The message cannot be queued now: qmail-queue's exit code, and whether the disk is full."""

    def __init__(self, code: int, *, full: bool = False) -> None:
        super().__init__(code)
        self.code, self.full = code, full


class Arrival:
    """One message on its way in. It ends with `Door.commit`, `drop` or `leave`."""

    __slots__ = ("_intd", "_mess", "_queue", "device", "number", "size", "text", "waiting", "written")

    def __init__(self, queue: Queue, number: int, device: int, mess: int) -> None:
        self._queue = queue
        self.number, self.device = number, device
        self._mess = mess
        self._intd = -1
        self.size = 0  # bytes of the message
        self.waiting = 0  # bytes of it that no one has asked the disk to keep yet
        self.written = 0  # bytes of the envelope
        self.text = b""  # the envelope, where it was written in one piece

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append to the message. Raises Refused; the message is to be dropped then."""
        try:
            size = _write_all(self._mess, pieces)
        except OSError as error:
            raise _refused(WRITE, error) from error
        self.size += size
        self.waiting += size

    def write_out(self) -> None:
        """Have what was written so far on the disk, so that the commit of a large message is short. Raises Refused."""
        try:
            durable.sync_data(self._mess)
        except OSError as error:
            raise _refused(WRITE, error) from error
        self.waiting = 0

    def envelope(self, text: bytes) -> None:
        """Append records of todo/N to the envelope. Raises Refused; the message is to be dropped then."""
        if self._intd < 0:
            try:
                self._intd = durable.create(self._queue.file(b"intd", self.number))
            except OSError as error:
                raise _refused(INTD, error) from error
        self.text = b"" if self.written else text
        try:
            self.written += _write_all(self._intd, (text,)) if text else 0
        except OSError as error:
            raise _refused(WRITE, error) from error

    def sync(self) -> None:
        """The message's part of barrier A: its two files. Raises OSError."""
        durable.sync(self._mess)
        durable.sync(self._intd)

    def link(self) -> None:
        """Into todo/. Raises Refused."""
        try:
            durable.link(self._queue.file(b"intd", self.number), self._queue.file(b"todo", self.number))
        except OSError as error:
            raise _refused(TODO, error) from error

    def note(self) -> Note:
        """What qmail-send is told, once todo/N is there."""
        status = os.fstat(self._intd)
        return Note(self.number, status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns, self.size, self.text)

    def drop(self) -> None:
        """Remove everything that was made. What cannot be removed is left to qmail-clean."""
        names = [self._queue.file(b"intd", self.number)] if self._intd >= 0 else []
        _take_back([self._queue.file(b"mess", self.number), *names])
        self.close()

    def leave(self) -> None:
        """Keep what came of a message that is no message, as qmail-queue does; qmail-clean takes it after 36 hours."""
        try:
            self.envelope(b"")
        except Refused:
            pass
        self.close()

    def close(self) -> None:
        """Let go of the files, and with them of the lock."""
        os.close(self._mess)
        if self._intd >= 0:
            os.close(self._intd)


class Door:
    """The way into one queue. `syncfs`, where the system has it, makes a whole file system durable."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._names = 0
        self._start = b"%d.%d." % (os.getpid(), int(clock.now()))
        self._whole = Whole(queue.root)

    def begin(self) -> Arrival:
        """A new message with a number of its own, in mess/ and locked. Raises Refused."""
        taken: list[int] = []
        try:
            for _attempt in range(_INODES):
                arrival = self._attempt(taken)
                if arrival is not None:
                    return arrival
            raise Refused(INTD)
        finally:
            # Only now: a number that is given back could be given to us again.
            for descriptor in taken:
                os.close(descriptor)

    def _attempt(self, taken: list[int]) -> Arrival | None:
        """A new message, or None where its number is taken; its descriptor is then among `taken`."""
        queue = self.queue
        name, descriptor = self._file()
        made = [name]
        code = PID
        try:
            status = os.fstat(descriptor)
            number = status.st_ino
            queues.lock(descriptor)
            # A name of an earlier message with this number may still be there, or come back after a crash.
            if not (_is_there(queue.file(b"todo", number)) or _is_there(queue.file(b"intd", number))):
                code = MESS
                mess = queue.file(b"mess", number)
                if _linked(name, mess):
                    made.append(mess)
                    code = PID
                    durable.remove(name)
                    return Arrival(queue, number, status.st_dev, descriptor)
            code = PID
            durable.remove(name)
        except OSError as error:
            _take_back(made)
            os.close(descriptor)
            raise _refused(code, error) from error
        taken.append(descriptor)
        return None

    def _file(self) -> tuple[bytes, int]:
        while True:
            self._names += 1
            name = b"%b/pid/%b%d" % (self.queue.root, self._start, self._names)
            try:
                return name, durable.create(name)
            except FileExistsError:
                continue  # of an earlier process with our number and second
            except OSError as error:
                raise _refused(_where(self.queue.root), error) from error

    def commit(self, arrivals: Sequence[Arrival]) -> list[Refused | None]:
        """Make whole messages durable and give them to qmail-send's side. For each, in order: None, or why not.

        None means accepted. The files are still open, for `note`, and to be closed; those of refused
        ones are gone.
        """
        refusals: list[Refused | None] = [None] * len(arrivals)
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

    def _barrier_a(self, arrivals: Sequence[Arrival], refusals: list[Refused | None]) -> None:
        if len(arrivals) >= BATCH_FOR_WHOLE and self._whole.fits(arrivals):
            try:
                self._whole.sync()
            except OSError as error:
                refusals[:] = [_refused(WRITE, error)] * len(arrivals)
            return
        directories: dict[bytes, OSError | None] = {}
        for at, arrival in enumerate(arrivals):
            try:
                arrival.sync()
            except OSError as error:
                refusals[at] = _refused(WRITE, error)
            directories.setdefault(self.queue.directory(b"mess", arrival.number), None)
        for directory in directories:
            try:
                durable.sync_directory(directory)
            except OSError as error:
                directories[directory] = error
        for at, arrival in enumerate(arrivals):
            failure = directories[self.queue.directory(b"mess", arrival.number)]
            if failure is not None and refusals[at] is None:
                refusals[at] = _refused(WRITE, failure)

    def _barrier_b(self, arrivals: Sequence[Arrival], refusals: list[Refused | None]) -> None:
        try:
            durable.sync_directory(self.queue.root + b"/todo")
        except OSError as error:
            # The links stay: that a refused message is delivered is allowed, that an accepted one is lost is not.
            for at, arrival in enumerate(arrivals):
                if refusals[at] is None:
                    refusals[at] = _refused(WRITE, error)
                    arrival.close()


class Whole:
    """The queue's file system as one thing to make durable, through a descriptor kept open since start.

    A fresh descriptor would not hear of errors that were reported before it was opened.
    """

    def __init__(self, root: bytes) -> None:
        self._syncfs = durable.whole()
        self._descriptor = self._device = -1
        self._not_before = 0.0
        try:
            devices = {os.stat(b"%b/%b" % (root, name)).st_dev for name in (b"pid", b"mess", b"intd", b"todo")}
            if len(devices) == 1:
                self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self._device = devices.pop()
        except OSError:
            pass  # a queue that is not there yet: its files are then made durable one by one

    def fits(self, arrivals: Sequence[Arrival]) -> bool:
        """May these be made durable this way now?"""
        device = self._device
        if self._syncfs is None or self._descriptor < 0 or any(arrival.device != device for arrival in arrivals):
            return False
        return not self._not_before or clock.monotonic() >= self._not_before

    def sync(self) -> None:
        """Everything written and named so far is durable when this returns. Raises OSError."""
        assert self._syncfs is not None
        start = clock.monotonic()
        self._syncfs(self._descriptor)
        end = clock.monotonic()
        self._not_before = end + PAUSE if end - start > SLOW else 0.0


def _is_there(path: bytes) -> bool:
    return os.access(path, os.F_OK)


def _linked(name: bytes, target: bytes) -> bool:
    try:
        durable.link(name, target)
    except FileExistsError:
        return False
    return True


def _take_back(names: list[bytes]) -> None:
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


def _refused(code: int, error: OSError) -> Refused:
    if error.errno in _FULL:
        return Refused(WRITE, full=True)
    return Refused(code)


def _where(root: bytes) -> int:
    """Which of qmail-queue's codes says best that no file can be made in pid/."""
    for directory, code in ((os.path.dirname(root), HOME), (root, QUEUE)):
        try:
            os.stat(directory + b"/.")
        except OSError:
            return code
    return PID
