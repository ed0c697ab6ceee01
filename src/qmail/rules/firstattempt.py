"""The first attempt, made straight from todo/N: most messages are delivered by it and never cost more.

While todo/N exists nothing of N counts as done on the disk; results are in memory. A message leaves
the first attempt complete (every recipient delivered to or failed for good) or incomplete: then its
recipients get files of their own. It is incomplete

    at once     where it has more than 16 recipients, or one on a channel that takes no deliveries;
    when nothing of it runs or waits any more, and a recipient was deferred;
    about 1 second after its first delivery started, if it is not complete by then;
    about 1 second after it came, if no delivery of its channel started meanwhile: the channel stands still.

Few local deliveries wait for more where others have started a moment ago: until 10 ms after those, and where they come
10 ms or less apart, until they do not any more, 40 ms at most. Those that start together share the waits for the disk.
On a channel that moves, a message keeps its turn and its place in todo/; at a destination that it must wait for
(`rules.destinations`), as long as that moves, and for 5 seconds.
"""

from __future__ import annotations

from collections import deque

from qmail.formats.bounce import NOBODY, paragraph
from qmail.formats.deliverystatus import success
from qmail.rules.destination import FRESH
from qmail.rules.freshmessage import COMPLETE, LISTED, RUNNING, TRYING
from qmail.rules.outcome import DONE, FAILED
from qmail.rules.routing import LOCAL, REMOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.rules.destinations import Destinations
    from qmail.rules.freshmessage import Fresh

MOST_RECIPIENTS = 16
GATHER, ENOUGH = 0.04, 20  # seconds that local deliveries wait for so many
APART = 0.01  # seconds: those that come within so many of one another are a rush
PATIENCE = 1.0  # seconds
LONGEST_WAIT = 5.0  # seconds at a destination
AGAIN = 0.25  # seconds until a message that may still be in time is looked at again


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
        self._came, self._apart = 0.0, 0.0  # when one for local recipients last came, how long after another
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
        fresh.attempts = self
        fresh.came = now
        for key, (channel, _) in enumerate(fresh.recipients):
            self._waiting[channel].append((fresh, key))
        if any(channel == LOCAL for channel, _ in fresh.recipients):
            self._apart, self._came = now - self._came, now
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

    def gathers(self, room: int, now: float) -> float:
        """How long local deliveries wait for more still, where `room` of them may start; 0: they do not."""
        few = 0 < len(self._waiting[LOCAL]) < min(room, ENOUGH) and self._moved[LOCAL] < now
        most = GATHER if self._apart <= APART else APART
        return max(min(self._moved[LOCAL] + most, self._came + APART) - now, 0.0) if few else 0.0

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
        fresh.untouched -= 1
        fresh.running += 1

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

    def ended(self, fresh: Fresh, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """A delivery of this message ended."""
        asked = fresh.parameters
        if outcome == FAILED:
            if asked is None or asked.of(recipient).failure:
                fresh.failures.append(paragraph(self._shown(recipient), report))
        elif asked is not None and outcome == DONE and fresh.sender not in NOBODY and asked.of(recipient).success:
            fate = success(self._shown(recipient), report, local=fresh.recipients[key][0] == LOCAL)
            if fate is not None:
                fresh.successes.append(fate)
        if not fresh.running and (self._stopped or not fresh.untouched):
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
        """When `overdue` has something to do: not for what is over by now, which is most of it."""
        for deadlines in (self._deadlines, self._looks):
            while deadlines and deadlines[0][1].stage != TRYING:
                deadlines.popleft()
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
                    fresh.running -= 1

    def give_up(self, fresh: Fresh) -> None:
        """Complete, but its failures could not be told: they have to be written down."""
        fresh.untold = True
        fresh.stage = TRYING
        self._list(fresh)

    def let_go(self, number: int) -> None:
        """It is no longer in todo/."""
        self.held.pop(number, None)
