"""The first attempt, made straight from todo/N: most messages are delivered by it and never cost more.

While todo/N exists nothing of N counts as done on the disk; results are in memory. A message leaves
the first attempt complete (every recipient delivered to or failed for good) or incomplete: then its
recipients get files of their own. It is incomplete

    at once     where it has more than 16 recipients, or one on a channel that takes no deliveries;
    when nothing of it runs or waits any more, and a recipient was deferred;
    about 1 second after its first delivery started, if it is not complete by then;
    about 1 second after it came, if no delivery of its channel started meanwhile: the channel stands still.

On a channel that moves, a message keeps its turn and its place in todo/; at a destination that it must wait for
(`rules.destinations`), as long as that moves, and for 5 seconds.
"""

from __future__ import annotations

from collections import deque

from qmail.formats.bounce import paragraph
from qmail.rules.destination import FRESH
from qmail.rules.dispatch import DONE, FAILED
from qmail.rules.routing import CHANNELS, LOCAL, REMOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qmail.rules.destination import Destination
    from qmail.rules.destinations import Destinations
    from qmail.rules.job import Job

MOST_RECIPIENTS = 16
PATIENCE = 1.0  # seconds
LONGEST_WAIT = 5.0  # seconds at a destination
AGAIN = 0.25  # seconds until a message that may still be in time is looked at again
RUNNING = 1  # a recipient's result, beside DONE, DEFERRED, FAILED and 0: untouched
ENDED = bytes((DONE, FAILED))

# Where a message is.
TRYING, LISTED, PREPARED, QUEUED, COMPLETE = range(5)


class Fresh:
    """A message in its first attempt. `recipients`: (channel, address) in the envelope's order."""

    __slots__ = (
        "_attempts", "_late", "_running", "_untouched", "came", "failures", "heirs", "hurried", "number", "place",
        "recipients", "results", "sender", "stage", "started", "untold", "waiting",
    )  # fmt: skip
    last_try = False

    def __init__(self, number: int, sender: bytes, recipients: Sequence[tuple[int, bytes]]) -> None:
        self.number, self.sender, self.recipients = number, sender, recipients
        self.results = bytearray(len(recipients))
        self.failures: list[bytes] = []  # reports of those that failed, as paragraphs
        self.stage = TRYING
        self.hurried = False  # its next attempt is wanted at once
        self.untold = False  # its failures were not taken, and have to be written down
        self.came = 0.0
        self.started = 0.0  # when its first delivery began; 0: none yet
        self.place: Destination | None = None  # where recipients of it wait, or did last
        self.waiting = 0  # how many wait at destinations
        self.heirs: dict[int, Heir] = {}  # by channel, once it is QUEUED
        self._attempts: FirstAttempts | None = None
        self._untouched, self._running = len(recipients), 0
        self._late: list[tuple[int, bytes, int, bytes]] = []

    @property
    def running(self) -> int:
        """Deliveries under way."""
        return self._running

    @property
    def waits(self) -> bool:
        """Does who waits at a destination do so still? Else it is a matter of its files."""
        return self.stage == TRYING

    def recipient(self, key: int) -> bytes:
        """One that waits."""
        return self.recipients[key][1]

    def begin(self, key: int, now: float, wall: int) -> None:
        """A recipient that waited at a destination is delivered to."""
        assert self._attempts is not None
        self._attempts.begin_waiting(self, key, now)

    @property
    def touched(self) -> bool:
        """Was any recipient tried?"""
        return any(self.results)

    @property
    def complete(self) -> bool:
        """Is every recipient delivered to or failed for good?"""
        return not self.results.strip(ENDED)

    def ended(self, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """A delivery of this message ended (see `Job`)."""
        self._running -= 1
        if self.stage == PREPARED:
            # The files say that it still runs; they are marked once they count.
            self._late.append((key, recipient, outcome, report))
        elif self.stage == QUEUED:
            self.heirs[self.recipients[key][0]].inherit(key, recipient, outcome, report)
        else:
            self.results[key] = outcome
            if self._attempts is not None:
                self._attempts.ended(self, recipient, outcome, report)

    def queued(self, heirs: dict[int, Heir]) -> None:
        """Its own files count from now on; these take the results that come."""
        self.stage = QUEUED
        self.heirs = heirs
        for key, recipient, outcome, report in self._late:
            heirs[self.recipients[key][0]].inherit(key, recipient, outcome, report)
        self._late.clear()


class Heir:
    """What a channel of a message became: a pass over its file, and where in the file each recipient stands."""

    __slots__ = ("_job", "_positions")

    def __init__(self, job: Job, positions: Mapping[int, int]) -> None:
        self._job, self._positions = job, positions

    def inherit(self, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """The recipient known as `key` to the fresh message ended."""
        self._job.ended(self._positions[key], recipient, outcome, report)


class FirstAttempts:
    """All fresh messages whose envelopes are in memory.

    `shown`: the recipient as the sender knows it. `limits`: deliveries per channel; 0 takes none.
    """

    def __init__(self, limits: Sequence[int], destinations: Destinations, shown: Callable[[bytes], bytes]) -> None:
        self._limits, self._destinations, self._shown = limits, destinations, shown
        self._at_destinations = 0  # recipients that wait there
        self._waiting: tuple[deque[tuple[Fresh, int]], ...] = (deque(), deque())
        self._deadlines: deque[tuple[float, Fresh]] = deque()
        self._looks: deque[tuple[float, Fresh]] = deque()
        self._moved = [0.0, 0.0]  # when a delivery of the channel last started
        self._stopped = False
        self.held: dict[int, Fresh] = {}
        self.complete: list[Fresh] = []
        self.incomplete: deque[Fresh] = deque()

    def waiting(self, channel: int) -> int:
        """How many recipients wait for a slot, more or less."""
        return len(self._waiting[channel]) + (self._at_destinations if channel == REMOTE else 0)

    def pending(self, channel: int) -> bool:
        """Is there a recipient that has not been looked at?"""
        return bool(self._waiting[channel])

    def add(self, fresh: Fresh, now: float) -> None:
        """A message came."""
        self.held[fresh.number] = fresh
        fresh._attempts = self
        fresh.came = now
        for key, (channel, _) in enumerate(fresh.recipients):
            self._waiting[channel].append((fresh, key))
        self._deadlines.append((now + PATIENCE, fresh))

    def add_without(self, fresh: Fresh) -> None:
        """A message came for which there is no attempt."""
        self.held[fresh.number] = fresh
        self._end(fresh)

    def needs_files(self, fresh: Fresh) -> bool:
        """Is there no first attempt for this message?"""
        recipients = fresh.recipients
        if not 0 < len(recipients) <= MOST_RECIPIENTS:
            return True
        limits = self._limits
        for channel, _ in recipients:  # noqa: SIM110
            if not limits[channel]:
                return True
        return False

    def next(self, channel: int, now: float) -> tuple[Fresh, int, bytes] | None:
        """The next delivery to start: message, key, recipient."""
        waiting = self._waiting[channel]
        while waiting:
            fresh, key = waiting.popleft()
            if fresh.stage <= LISTED and (channel != REMOTE or self._goes(fresh, key, now)):
                self._begin(fresh, key, channel, now)
                return fresh, key, fresh.recipients[key][1]
        return None

    def _begin(self, fresh: Fresh, key: int, channel: int, now: float) -> None:
        if not fresh.started:
            fresh.started = now
        self._moved[channel] = now
        fresh.results[key] = RUNNING
        fresh._untouched -= 1
        fresh._running += 1

    def _goes(self, fresh: Fresh, key: int, now: float) -> bool:
        """May this remote recipient go now? Else it waits at its destination, or for files where that stands still."""
        recipient = fresh.recipients[key][1]
        place = self._destinations.of(recipient)
        if self._destinations.admits(place):
            return True
        if fresh.stage == TRYING:
            if place.is_full(now) and now - place.moved >= PATIENCE:
                self._list(fresh)
            else:
                fresh.place = place
                fresh.waiting += 1
                self._at_destinations += 1
                self._destinations.wait(place, FRESH, fresh, key)
        return False

    def begin_waiting(self, fresh: Fresh, key: int, now: float) -> None:
        """A recipient that waited at a destination is delivered to."""
        fresh.waiting -= 1
        self._at_destinations -= 1
        self._begin(fresh, key, REMOTE, now)

    def ended(self, fresh: Fresh, recipient: bytes, outcome: int, report: bytes) -> None:
        """A delivery of this message ended."""
        if outcome == FAILED:
            fresh.failures.append(paragraph(self._shown(recipient), report))
        if not fresh._running and (self._stopped or not fresh._untouched):
            self._end(fresh)

    def _end(self, fresh: Fresh) -> None:
        if fresh.complete:
            fresh.stage = COMPLETE
            self.complete.append(fresh)
        else:
            self._list(fresh)

    def _list(self, fresh: Fresh) -> None:
        if fresh.stage == TRYING:
            fresh.stage = LISTED
            self.incomplete.append(fresh)
            if fresh.place is not None:
                self._at_destinations -= fresh.waiting
                fresh.waiting = 0
                fresh.place.tidy()

    def overdue(self, now: float) -> None:
        """Give up waiting for whatever has waited too long."""
        for deadlines in (self._deadlines, self._looks):
            while deadlines and deadlines[0][0] <= now:
                _, fresh = deadlines.popleft()
                if fresh.stage == TRYING:
                    if now - self._last_seen(fresh) < PATIENCE and (
                        not fresh.waiting or now - fresh.came < LONGEST_WAIT
                    ):
                        self._looks.append((now + AGAIN, fresh))
                    else:
                        self._list(fresh)

    def _last_seen(self, fresh: Fresh) -> float:
        """When it started, or else when what it waits for last moved: a destination, its channels."""
        if fresh.started or not fresh.waiting or fresh.place is None:
            return fresh.started or max(self._moved[channel] for channel, _ in fresh.recipients)
        return fresh.place.moved

    def next_deadline(self) -> float | None:
        """When `overdue` has something to do."""
        return min([deadlines[0][0] for deadlines in (self._deadlines, self._looks) if deadlines], default=None)

    def hurry(self) -> None:
        """What is deferred in its first attempt is tried again at once."""
        for fresh in self.held.values():
            fresh.hurried = fresh.touched

    def stop(self) -> None:
        """Start nothing more; what was tried is written down as soon as nothing of it runs, the rest stays in todo/."""
        self._stopped = True
        for waiting in self._waiting:
            waiting.clear()
        for fresh in list(self.held.values()):
            if fresh.stage <= LISTED and not fresh.touched:
                del self.held[fresh.number]
            elif not fresh.running:
                self._list(fresh)
        self.incomplete = deque(fresh for fresh in self.incomplete if fresh.touched)

    def lost(self, channel: int) -> None:
        """The spawner of this channel is gone: what became of its deliveries will never be known."""
        for fresh in self.held.values():
            for key, result in enumerate(fresh.results):
                if result == RUNNING and fresh.recipients[key][0] == channel and fresh.stage <= LISTED:
                    fresh.results[key] = 0
                    fresh._running -= 1

    def give_up(self, fresh: Fresh) -> None:
        """Complete, but its failures could not be told: they have to be written down."""
        fresh.untold = True
        fresh.stage = TRYING
        self._list(fresh)

    def let_go(self, number: int) -> None:
        """It is no longer in todo/."""
        self.held.pop(number, None)


def records(fresh: Fresh) -> tuple[tuple[bytes, bytes], tuple[dict[int, int], dict[int, int]]]:
    """What local/N and remote/N are to say now, and where in them each recipient stands."""
    texts: tuple[list[bytes], list[bytes]] = ([], [])
    positions: tuple[dict[int, int], dict[int, int]] = ({}, {})
    sizes = [0, 0]
    for key, (channel, recipient) in enumerate(fresh.recipients):
        letter = b"D" if fresh.results[key] in ENDED else b"T"
        record = letter + recipient + b"\0"
        positions[channel][key] = sizes[channel]
        sizes[channel] += len(record)
        texts[channel].append(record)
    # A channel with nothing left to do has no file.
    left = [any(fresh.results[key] not in ENDED for key in positions[channel]) for channel in CHANNELS]
    local, remote = (b"".join(texts[channel]) if left[channel] else b"" for channel in (LOCAL, REMOTE))
    return (local, remote), positions
