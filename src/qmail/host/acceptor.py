"""Listening sockets in a loop: connections are accepted in batches, up to a limit.

At the limit nothing is accepted, and clients wait in the kernel's queue. Where the kernel is out of
descriptors or memory, the connection at the head of the queue is dropped and listening rests a while, so
that the loop does not spin.
"""

from __future__ import annotations

import errno
import os

from qmail.host import clock, sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.host.loop import Loop
    from qmail.host.sockets import Address, Listener

    Arrived = Callable[[int, Address, Listener], None]

BATCH = 64  # connections taken from one listener before others have their turn
REST = 0.5  # seconds without accepting when the kernel is short of something


class Acceptor:
    """Accepts for `arrived(descriptor, peer, listener)`, which owns the descriptor; `short(error)` hears of trouble."""

    def __init__(
        self, loop: Loop, listeners: list[Listener], limit: int, arrived: Arrived, short: Callable[[OSError], None]
    ) -> None:
        self.loop, self.listeners, self.limit = loop, listeners, limit
        self._arrived, self._short = arrived, short
        self.running = 0  # connections that count against the limit
        self.resting_until = 0.0
        self._watching = False
        self._spare = os.open(b"/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        for listener in listeners:
            listener.setblocking(False)

    def adjust(self) -> float | None:
        """Listen, or not, as the count and the rest say. To be called once a round; gives its longest time, seconds."""
        rest = self.resting_until - clock.monotonic() if self.resting_until else 0.0
        if rest <= 0:
            self.resting_until = 0.0
        wanted = self.running < self.limit and not self.resting_until
        if wanted != self._watching:
            self._watching = wanted
            for listener in self.listeners:
                if wanted:
                    self.loop.watch(listener.fileno(), lambda _, each=listener: self._batch(each))  # type: ignore[misc]
                else:
                    self.loop.forget(listener.fileno())
        return rest if self.resting_until else None

    def _batch(self, listener: Listener) -> None:
        for _ in range(BATCH):
            if self.running >= self.limit:
                return
            try:
                got = sockets.accept(listener)
            except OSError as error:
                self._drop_one(listener, error)
                return
            if got is None:
                return
            self.running += 1
            self._arrived(*got, listener)

    def _drop_one(self, listener: Listener, error: OSError) -> None:
        self._short(error)
        self.resting_until = clock.monotonic() + REST
        if error.errno in (errno.EMFILE, errno.ENFILE):
            # The client at the head shall not wait for nothing: the spare descriptor takes it in, to hang up.
            os.close(self._spare)
            try:
                got = sockets.accept(listener)
                if got is not None:
                    os.close(got[0])
            except OSError:
                pass
            self._spare = os.open(b"/dev/null", os.O_RDONLY | os.O_CLOEXEC)
