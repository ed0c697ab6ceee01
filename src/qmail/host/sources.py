"""Where a stream of bytes comes from, for one who must not lose any: what was seen is not yet taken.

From a pipe, bytes are copied (tee(2)) and stay in it until they are dealt with, so that a reader that is
killed loses nothing: the next one finds them again. From anything else, reading is taking.
"""

from __future__ import annotations

import os
import select
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NOT_WAITING = 2  # SPLICE_F_NONBLOCK
# Seen bytes make a pipe look readable, so only its change can wake us, and the kernel does not tell of every
# change while a long write goes on. So we look again, ever more seldom, in seconds; then the bytes are taken.
FIRST_LOOK, LAST_LOOK = 0.001, 4.0


class Taken:
    """A file, terminal or socket. `alarm`: another descriptor that ends waiting."""

    def __init__(self, descriptor: int, alarm: int) -> None:
        self.descriptor, self.alarm = descriptor, alarm
        self.readable = False
        self.poll = select.poll()
        self.poll.register(alarm, select.POLLIN)
        self.poll.register(descriptor, select.POLLIN)

    def wait(self) -> bool:
        """Wait until there is something to read, or an alarm: True."""
        ready = [descriptor for descriptor, _ in self.poll.poll()]
        self.readable = self.descriptor in ready
        return self.alarm in ready

    def read(self, most: int) -> bytes | None:
        """At most so many new bytes, b"" at the end (or where reading fails), None where there are none yet."""
        if not self.readable:
            return None
        try:
            return os.read(self.descriptor, most)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def keep(self, last: int) -> None:
        """All bytes are dealt with, but the last so many."""


class Peeked:
    """A pipe. The same methods; what was read stays in the pipe until `keep` says that it may go."""

    def __init__(self, descriptor: int, alarm: int, tee: Callable[[int, int, int, int], int]) -> None:
        self.descriptor, self.alarm, self.tee = descriptor, alarm, tee
        self.reader, self.writer = os.pipe()
        self.seen = 0  # bytes at the front of the pipe that have been read already
        self.more = self.ended = False
        self.pause = FIRST_LOOK
        self.epoll = select.epoll()
        self.epoll.register(alarm, select.EPOLLIN)
        self.epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)

    def wait(self) -> bool:
        events = dict(self.epoll.poll(0 if self.more else self.pause if self.seen else None))
        if self.descriptor in events:
            self.more = True
            self.ended = bool(events[self.descriptor] & select.EPOLLHUP)
        elif not events and not self.more:
            self.more = True
            self.pause *= 2
            if self.pause > LAST_LOOK:
                self._take(self.seen)
        return self.alarm in events

    def read(self, most: int) -> bytes | None:
        count = self.tee(self.descriptor, self.writer, self.seen + most, NOT_WAITING)
        data = os.read(self.reader, count)[self.seen :] if count > 0 else b""
        if not data:
            self.more = False
            return b"" if self.ended else None
        self.seen += len(data)
        self.pause = FIRST_LOOK
        return data

    def keep(self, last: int) -> None:
        self._take(max(self.seen - last, 0))

    def _take(self, count: int) -> None:
        self.seen -= count
        while count:
            count -= len(os.read(self.descriptor, count))


def source(descriptor: int, alarm: int) -> Taken | Peeked:
    """The right one for this descriptor."""
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        import ctypes

        try:
            tee = ctypes.CDLL(None).tee
        except (OSError, AttributeError):
            return Taken(descriptor, alarm)
        tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
        tee.restype = ctypes.c_ssize_t
        return Peeked(descriptor, alarm, tee)
    return Taken(descriptor, alarm)
