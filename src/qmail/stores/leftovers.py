"""What crashes leave behind, found by a slow walk through the queue and removed after 36 hours.

A message without todo/N and info/N was never accepted, or is finished; nobody waits for it. Before
mess/N goes, the names whose absence says so are made durable: they must not come back to a new
message's number.
"""

from __future__ import annotations

import os

from qmail.formats.queuefile import SPLIT_KINDS
from qmail.host import durable
from qmail.stores import queue as queues
from qmail.stores.deliverystate import KINDS, Trouble
from qmail.stores.incoming import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qmail.stores.deliverystate import DeliveryState
    from qmail.stores.incoming import Incoming
    from qmail.stores.queue import Queue

INTERVAL = 76_431  # seconds between walks


class Leftovers:
    """A walk, one directory a step. `held`: is this number in memory?"""

    def __init__(self, queue: Queue, state: DeliveryState, incoming: Incoming, held: Callable[[int], bool]) -> None:
        self._queue, self._state, self._incoming, self._held = queue, state, incoming, held
        self._steps: list[tuple[bytes, int]] = []
        self.next_time = 0  # seconds since 1970

    def clock_was_set_back(self, now: int) -> None:
        """The next walk is no further away than it can be."""
        self.next_time = min(self.next_time, now + INTERVAL)

    def step(self, now: int) -> list[int]:
        """Look through the next directory. Returns the messages whose mess/N may go."""
        if not self._steps:
            parts = range(self._queue.split - 1, -1, -1)
            self._steps = [(kind, part) for kind in (b"mess", *KINDS, b"bounce") for part in parts]
            self._steps = [step for step in self._steps if step[0] in SPLIT_KINDS or not step[1]]
        kind, part = self._steps.pop()
        self.next_time = now + (0 if self._steps else INTERVAL)
        below = b"/%d" % part if kind in SPLIT_KINDS else b""
        try:
            old = list(self._old(kind, self._queue.root + b"/" + kind + below, now))
            if kind == b"mess":
                return self._spoken_for(old, part)
            for number in old:
                self._state.remove(kind, number)
        except (OSError, Trouble):
            pass  # another walk will come
        return []

    def _old(self, kind: bytes, directory: bytes, now: int) -> Iterator[int]:
        """The numbers that nothing has touched for 36 hours, and that are in no live state. Raises OSError."""
        for number in numbers(directory):
            try:
                status = os.lstat(self._queue.file(kind, number))
            except FileNotFoundError:
                continue
            touched = max(status.st_atime, status.st_mtime)
            if (
                touched + queues.OSSIFIED < now
                and not self._held(number)
                and not self._state.has(b"info", number)
                and not self._incoming.has(number)
                and not self._set_aside(number)
            ):
                yield number

    def _set_aside(self, number: int) -> bool:
        return any(os.path.lexists(b"%b/bad/%b.%d" % (self._queue.root, kind, number)) for kind in KINDS)

    def _spoken_for(self, old: list[int], part: int) -> list[int]:
        dead = [number for number in old if not queues.being_written(self._queue.file(b"mess", number))]
        if dead:
            durable.sync_directory(b"%b/info/%d" % (self._queue.root, part))
            self._incoming.sync()
            if not self._state.sync_names():
                return []
        return dead
