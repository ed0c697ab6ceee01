"""One destination of remote mail (`rules.destinations`): what may run there, and who waits for it."""

from __future__ import annotations

from array import array
from collections import deque

from qmail.rules.outcome import DEFERRED, DONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from qmail.rules.job import Job

    class Waiting(Job, Protocol):
        """A job whose recipients may wait here."""

        @property
        def waits(self) -> bool:
            """Do its recipients still wait here?"""

        def recipient(self, key: int) -> bytes | None:
            """One of them; None where it waits no longer, because it cannot be read."""

        def begin(self, key: int, now: float, wall: int) -> None:
            """A recipient that waited is delivered to."""

    Run = tuple[Waiting, array[int]]

FEW = 5  # deliveries at once, at first
LARGEST = 1_000_000  # a number in the file
_LONGEST_RUN = 512  # recipients
FRESH, QUEUED = 0, 1  # two lines at each destination; of four turns the second has one at least


class Limit:
    """What a line says; None for what it does not."""

    __slots__ = ("connections", "messages")

    def __init__(self, connections: int | None, messages: int | None) -> None:
        self.connections, self.messages = connections, messages


NO_LIMIT = Limit(None, None)


def table(lines: Iterable[bytes]) -> dict[bytes, Limit]:
    """Names in lower case, the empty one also for `*`, to limits; a line without a colon is none."""
    limits = {}
    for line in lines:
        # The colons of an IPv6 address end at its bracket.
        bracket = line.find(b"]") + 1 if line.startswith(b"[") else 0
        name, colon, numbers = line[bracket:].partition(b":")
        if colon:
            name = (line[:bracket] + name).strip().lower()
            connections, _, messages = numbers.partition(b":")
            limits[b"" if name == b"*" else name] = Limit(_number(connections), _number(messages))
    return limits


def _number(text: bytes) -> int | None:
    """The digits that `text` begins with, or None."""
    text = text.strip()
    end = 0
    while end < len(text) and text[end : end + 1].isdigit():
        end += 1
    return min(int(text[: min(end, 9)]), LARGEST) if end else None


class Destination:
    """One of them. `moved`: when a delivery last began there.

    Recipients of one job that come one after the other are a run: of a long list each takes eight bytes.
    """

    __slots__ = (
        "_ignored", "_turn", "interval", "lines", "most", "moved", "next_start", "running", "share", "timed", "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self.lines: tuple[deque[Run], deque[Run]] = (deque(), deque())
        self.running = 0
        self.window = FEW
        self.most = self.share = 0
        self.interval = 0.0  # seconds between two starts
        self.moved = self.next_start = 0.0
        self.timed = False  # somebody will look when it is time for the next start
        self._ignored = 0  # deliveries that ran already at the last back-off
        self._turn = 0

    def limit(self, limit: Limit, deliveries: int) -> None:
        """Set its limits; `deliveries` is that of all."""
        self.most, self.share = max(1, deliveries - deliveries // 4), max(1, deliveries // 2)
        if limit.connections is not None:
            self.most = self.share = min(limit.connections, deliveries)
        self.interval = 0.0
        if limit.messages:
            self.interval = 60.0 / limit.messages
        elif limit.messages == 0:
            self.most = self.share = 0

    def is_full(self, now: float) -> bool:
        """May nothing begin there, whoever else waits?"""
        return self.running >= self.window or self.running >= self.most or self.next_start > now

    def ended(self, outcome: int) -> None:
        """A delivery ended."""
        self.running -= 1
        counts = not self._ignored
        if self._ignored:
            self._ignored -= 1
        if outcome == DONE:
            self.window = max(1, min(self.window + 1, self.most))
        elif outcome == DEFERRED and counts:
            self.window = max(1, self.window // 2)
            self._ignored = self.running

    def add(self, line: int, job: Waiting, key: int) -> None:
        """Somebody waits here."""
        runs = self.lines[line]
        if runs and runs[-1][0] is job and len(runs[-1][1]) < _LONGEST_RUN:
            runs[-1][1].append(key)
        else:
            runs.append((job, array("Q", (key,))))

    def take(self) -> tuple[Waiting, int] | None:
        """The next one that waits here, in its turn."""
        self._turn = (self._turn + 1) % 4
        fresh, queued = self.lines
        for line in (fresh, queued) if self._turn else (queued, fresh):
            while line:
                job, keys = line[0]
                key = keys.pop(0)
                if not keys:
                    line.popleft()
                if job.waits:
                    return job, key
        return None

    def tidy(self) -> None:
        """Somebody does not wait any more."""
        for line in self.lines:
            while line and not line[0][0].waits:
                line.popleft()
