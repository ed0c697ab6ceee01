"""The deliveries that run: their numbers, the limits, and what a report means.

A delivery belongs to a job, which is told how it ended; `key` is the job's own name for the recipient.
"""

from __future__ import annotations

from qmail.formats import logline
from qmail.rules.outcome import DEFERRED, DONE, FAILED, OUTCOMES
from qmail.rules.routing import REMOTE, variable_sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.rules.destination import Destination
    from qmail.rules.destinations import Destinations
    from qmail.rules.job import Job

MOST = 1000  # deliveries of one channel
LONGEST_REPORT = 10_000  # bytes; the spawners keep them shorter, but they are not trusted to
TOO_LONG_IN_QUEUE = b"I'm not going to try again; this message has been in the queue too long.\n"


class Dispatch:
    """Who is being delivered to. `say` takes log lines; `limits` are for local and remote."""

    def __init__(self, limits: Sequence[int], destinations: Destinations, say: Callable[[bytes], None]) -> None:
        self._destinations = destinations
        self.limits = [min(limit, MOST) for limit in limits]
        self.exiting = False
        self._say = say
        self._used = [0, 0]
        self._last = 0
        # The lowest free numbers are given out first, as long as few are in use.
        self._free = [list(range(limit - 1, -1, -1)) for limit in self.limits]
        self._running: list[dict[int, tuple[int, Job, int, bytes, Destination | None]]] = [{}, {}]

    def room(self, channel: int) -> int:
        """How many more deliveries may start."""
        return len(self._free[channel])

    def running(self, channel: int) -> int:
        """How many deliveries run."""
        return self._used[channel]

    def start(self, channel: int, job: Job, key: int, recipient: bytes) -> tuple[int, bytes]:
        """Begin a delivery, where there is room. Returns its number for the spawner, and its envelope sender."""
        slot = self._free[channel].pop()
        self._last += 1
        where = self._destinations.begun(recipient) if channel == REMOTE else None
        self._running[channel][slot] = self._last, job, key, recipient, where
        self._used[channel] += 1
        self._say(logline.starting(self._last, job.number, channel, recipient))
        self.status()
        return slot, variable_sender(job.sender, recipient)

    def report(self, channel: int, slot: int, text: bytes) -> None:
        """A spawner says how a delivery ended."""
        delivery = self._running[channel].pop(slot, None)
        if delivery is None:
            self._say(logline.OUT_OF_RANGE)
            return
        self._free[channel].append(slot)
        self._used[channel] -= 1
        number, job, key, recipient, where = delivery
        text, _, passed_on = text[:LONGEST_REPORT].partition(b"\0")
        outcome = text[0] if text else 0
        words = text[1:]
        if where is not None:
            self._destinations.ended(where, outcome if outcome in OUTCOMES else DEFERRED)
        if outcome == DEFERRED and job.last_try:
            outcome = FAILED
            words += TOO_LONG_IN_QUEUE
        if outcome == DONE:
            self._say(logline.success(number, words))
            if passed_on:
                words += b"\0" + passed_on
        elif outcome == DEFERRED:
            self._say(logline.deferral(number, words))
        elif outcome == FAILED:
            self._say(logline.failure(number, words))
        else:
            self._say(logline.mangled(number))
            outcome = DEFERRED
        job.ended(key, recipient, outcome, words)
        self.status()

    def status(self) -> None:
        """Say how many run."""
        (local, remote), (locals_, remotes) = self._used, self.limits
        self._say(logline.status(local, locals_, remote, remotes, self.exiting))
