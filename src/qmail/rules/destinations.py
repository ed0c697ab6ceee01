"""Where remote mail leads, and how much of it at once (control/destinations, qmail-send(8)).

    host:connections:messages       .suffix:connections:messages       :connections:messages

A destination is what control/smtproutes makes of a recipient's host: names that lead to one relay are one. Of
the lines the one with the longest name that fits counts, the empty one (or `*`) for the rest, and of two for one
name the later one. `connections` is how many deliveries run there at once, `messages` how many begin in a minute.
0 holds the mail; where there is no number, `connections` is the share, and `messages` has no limit.

    share      half of all deliveries; three quarters as long as nothing waits for elsewhere
    start      5 at once; each success allows one more
    back-off   a deferral halves that, to 1 at least; those that ran already when it did do not count again

Who cannot go waits at its destination, so that nobody ever looks for somebody who can.
"""

from __future__ import annotations

from heapq import heappop, heappush

from qmail.rules import hosttable, smtproutes
from qmail.rules.destination import NO_LIMIT, Destination

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.rules.destination import Limit, Waiting
    from qmail.rules.job import Job

    Found = tuple[Job, int, bytes]
    Key = tuple[bytes, int, bool]

MOST_KEPT = 2000  # destinations without mail that are remembered


class Destinations:
    """All of them. `deliveries`: how many run at once; `now`, `wall`: the time, from whatever begin, and since 1970."""

    def __init__(self, deliveries: int) -> None:
        self._deliveries = deliveries
        self.now, self.wall = 0.0, 0
        self._limits: Mapping[bytes, Limit] = {}
        self._routes: Mapping[bytes, bytes] = {}
        self._leads: dict[bytes, Destination] = {}  # of hosts
        self._known: dict[Key, Destination] = {}
        self._most_kept = MOST_KEPT
        # Those with somebody who can go, each in one of these: at once, where nobody else can, at a time.
        self._ready: dict[Destination, None] = {}
        self._beyond: dict[Destination, None] = {}
        self._timed: list[tuple[float, int, Destination]] = []
        self._count = 0

    def rule(self, limits: Mapping[bytes, Limit], routes: Mapping[bytes, bytes]) -> None:
        """From now on these lines of control/destinations and control/smtproutes count."""
        moved = self._routes != routes
        self._limits, self._routes = limits, routes
        self._leads.clear()
        for _, _, place in self._timed:
            place.timed = False
        self._timed.clear()
        self._ready.clear()
        self._beyond.clear()
        for (host, _, _), place in self._known.items():
            place.limit(self._limit(host), self._deliveries)
            place.next_start = min(place.next_start, self.now + place.interval)
            self._sort(place)
        if moved:
            self._move()

    def _move(self) -> None:
        """Whoever waits goes where the routes lead now."""
        waiting = [
            (line, run) for place in self._known.values() for line, runs in enumerate(place.lines) for run in runs
        ]
        for place in self._known.values():
            for runs in place.lines:
                runs.clear()
            self._sort(place)
        for line, (job, keys) in waiting:
            for key in keys:
                recipient = job.recipient(key) if job.waits else None
                if recipient is not None:
                    self.wait(self.of(recipient), line, job, key)

    def of(self, recipient: bytes) -> Destination:
        """Where a recipient's mail goes."""
        host = recipient.rpartition(b"@")[2]
        place = self._leads.get(host)
        if place is None:
            key = smtproutes.route(self._routes, host).key
            place = self._known.get(key)
            if place is None:
                self._forget()
                place = self._known[key] = Destination()
                place.limit(self._limit(key[0]), self._deliveries)
            self._leads[host] = place
        return place

    def _limit(self, host: bytes) -> Limit:
        return hosttable.longest(self._limits, host) or NO_LIMIT

    def _forget(self) -> None:
        """Let go those that nothing is known of but that they were quiet lately, where there are many."""
        if len(self._leads) >= 2 * self._most_kept:
            self._leads.clear()
        if len(self._known) >= self._most_kept:
            self._leads.clear()
            self._known = {
                key: place
                for key, place in self._known.items()
                if place.running or any(place.lines) or place.next_start > self.now
            }
            # Twice as many as could not be let go: each new one pays for a look at two.
            self._most_kept = max(MOST_KEPT, 2 * len(self._known))

    def admits(self, place: Destination) -> bool:
        """May one who comes now begin there at once?"""
        return place.running < place.share and not place.is_full(self.now) and not any(place.lines)

    def wait(self, place: Destination, line: int, job: Waiting, key: int) -> None:
        """Somebody waits there: FRESH or QUEUED."""
        place.add(line, job, key)
        if len(place.lines[line]) == 1:
            self._sort(place)

    def begun(self, recipient: bytes) -> Destination:
        """A delivery begins."""
        place = self.of(recipient)
        place.running += 1
        place.moved = self.now
        place.next_start = max(place.next_start, self.now) + place.interval if place.interval else 0.0
        self._sort(place)
        return place

    def ended(self, place: Destination, outcome: int) -> None:
        """A delivery ended."""
        place.ended(outcome)
        if any(place.lines):
            self._sort(place)

    def tell(self, now: float, wall: int) -> None:
        """What time it is."""
        self.now, self.wall = now, wall
        while self._timed and self._timed[0][0] <= now:
            place = heappop(self._timed)[2]
            place.timed = False
            self._sort(place)

    def next_time(self) -> float | None:
        """When somebody who waits for a time may go."""
        return self._timed[0][0] if self._timed else None

    def pending(self) -> bool:
        """Is there somebody who can go at once?"""
        return bool(self._ready or self._beyond)

    def next(self) -> Found | None:
        """One who waits and may go, the destinations in turn."""
        return self._next(self._ready) if self._ready else None

    def next_beyond(self) -> Found | None:
        """The same beyond its destination's share, for when nobody else can go."""
        return self._next(self._beyond) if self._beyond else None

    def _next(self, places: dict[Destination, None]) -> Found | None:
        while places:
            place = next(iter(places))
            taken = place.take()
            if taken is None:
                self._sort(place)
                continue
            job, key = taken
            recipient = job.recipient(key)
            if recipient is not None:
                job.begin(key, self.now, self.wall)
                return job, key, recipient
        return None

    def _sort(self, place: Destination) -> None:
        """Put it where it belongs, behind the others."""
        self._ready.pop(place, None)
        self._beyond.pop(place, None)
        if not any(place.lines):
            return
        if place.running >= place.window or place.running >= place.most:
            return  # until one ends
        if place.next_start > self.now:
            if not place.timed:
                place.timed = True
                self._count += 1
                heappush(self._timed, (place.next_start, self._count, place))
        elif place.running >= place.share:
            self._beyond[place] = None
        else:
            self._ready[place] = None
