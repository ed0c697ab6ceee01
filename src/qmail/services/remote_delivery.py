"""qmail-rspawn with its workers: processes forked from it that have qmail-remote loaded already.

A delivery goes to the worker that has a connection to its host, else to any idle one, else to a new
one; a worker has one delivery at a time. Idle ones are let go after a few seconds.
"""

from __future__ import annotations

import _socket
import array
import os
import resource
from collections import deque

from qmail.formats.verdict import Temporary
from qmail.host.clock import monotonic
from qmail.host.loop import READ
from qmail.programs.deliver import qmail_rspawn
from qmail.protocols import handover
from qmail.rules import smtproutes
from qmail.services import remote_worker
from qmail.services.name_service import NameService
from qmail.stores.control import Control
from qmail.stores.home import is_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qmail.host.loop import Loop
    from qmail.stores.deliveries import Delivery
    from qmail.stores.home import Home

    Key = tuple[bytes, int, bool]

__doc__ = qmail_rspawn.__doc__  # what --help prints

IDLE = 6.0  # seconds until an idle worker is let go
LOOKED = 1.0  # seconds between looks at what may have changed on disk
QUICK = 0.0015  # seconds; where a delivery takes no more, a few workers at a time carry most
FEW = 2
MOMENT = 0.003  # seconds that a delivery waits for one of them before it gets one of its own
MOST_PLACES = 2000  # hosts remembered
NO_WORKER = b"Zqmail-spawn unable to fork. (#4.3.0)\n\0"
SPARE = 20  # idle workers that may keep their connections to other hosts before one is taken for a new host


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run qmail-rspawn."""
    # Each delivery may take two descriptors.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return qmail_rspawn.main(argv, environ, Workers)


class _Worker:
    """One worker as the spawner sees it."""

    __slots__ = ("number", "pid", "place", "since", "socket")

    def __init__(self, pid: int, socket: _socket.socket) -> None:
        self.pid, self.socket = pid, socket
        self.number = -1  # of the delivery it makes
        self.place: _Place | None = None  # where its connection leads
        self.since = 0.0  # when it got its delivery, or became idle


class _Place:
    """Where deliveries lead: how many run, how long one takes at best lately, and who waits for a worker."""

    __slots__ = ("busy", "floor", "waiting")

    def __init__(self) -> None:
        self.busy = 0
        self.floor = 1e9  # seconds
        self.waiting: deque[tuple[float, bytes, Delivery]] = deque()  # until when, job, delivery

    def took(self, seconds: float) -> None:
        """A delivery is over."""
        self.busy -= 1
        self.floor = min(seconds, self.floor * 1.02)


class Workers:
    """The pool. `finished` gets a delivery's number, exit code (None: signal) and records."""

    def __init__(
        self,
        where: Home,
        environ: Mapping[bytes, bytes],
        loop: Loop,
        finished: Callable[[int, int | None, bytes], None],
    ) -> None:
        self._home, self._environ, self._loop, self._finished = where, environ, loop, finished
        self._control = Control(where.path)
        self._idle: dict[_Worker, None] = {}  # the one that was used last is the last
        self._places: dict[Key, _Place] = {}
        self._leads: dict[bytes, _Place] = {}  # of hosts
        self._waiting: set[_Place] = set()
        self._names = NameService(where, environ, loop)
        self._names.attend()
        self._looked = 0.0
        self._ours = False
        self._routes: Mapping[bytes, bytes] = {}

    def start(self, delivery: Delivery) -> bool:
        """Take the delivery over, or say that it must be started the long way."""
        self._look()
        job = handover.job(delivery.size, delivery.host, delivery.sender, delivery.recipient)
        if not self._ours or len(job) > handover.LARGEST:
            return False
        place = self._leads.get(delivery.host) or self._found(delivery.host)
        if place.busy >= FEW and place.floor < QUICK:
            place.waiting.append((monotonic() + MOMENT, job, delivery))
            self._waiting.add(place)
            return True
        return self._hand_over(place, job, delivery)

    def rest(self) -> float | None:
        """Start what has waited long enough, let go what has been idle too long; seconds until the next time."""
        now = monotonic()
        times = [self._patience(place, now) for place in self._waiting] if self._waiting else []
        names = self._names.rest()
        if names == 0:
            self._names.attend()
        elif names is not None:
            times.append(names)
        while (worker := next(iter(self._idle), None)) is not None:
            if worker.since + IDLE > now:
                times.append(worker.since + IDLE - now)
                break
            self._dismiss(worker)
        return min(times, default=None)

    def end(self) -> None:
        """There will be no more deliveries."""
        self._names.end()

    def _found(self, host: bytes) -> _Place:
        """Where deliveries for a host lead."""
        key = smtproutes.route(self._routes, host).key
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _Place()
        self._leads[host] = place
        return place

    def _patience(self, place: _Place, now: float) -> float:
        while place.waiting and place.waiting[0][0] <= now:
            _, job, delivery = place.waiting.popleft()
            if not self._hand_over(place, job, delivery):
                os.close(delivery.message)
                self._finished(delivery.number, 0, NO_WORKER)
        return place.waiting[0][0] - now if place.waiting else MOMENT

    def _hand_over(self, place: _Place, job: bytes, delivery: Delivery) -> bool:
        """Give the delivery to the worker that suits it best; False where none can be had."""
        while (worker := self._pick(place)) is not None:
            if self._give(worker, place, job, delivery):
                return True
        return False

    def _give(self, worker: _Worker, place: _Place, job: bytes, delivery: Delivery) -> bool:
        descriptors = array.array("i", (delivery.message,))
        try:
            worker.socket.sendmsg([job], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
        except OSError:
            return False  # it has just died, which `_heard` will find out
        os.close(delivery.message)
        worker.number, worker.place, worker.since = delivery.number, place, monotonic()
        place.busy += 1
        return True

    def _pick(self, place: _Place) -> _Worker | None:
        """An idle worker that is taken out of the idle ones, or a new one; None where none can be had."""
        for worker in reversed(self._idle):
            if worker.place is place:
                break
        else:
            if len(self._idle) <= SPARE:
                free = next((each for each in reversed(self._idle) if not self._keeps(each)), None)
            else:
                free = next(iter(self._idle))
            return self._taken(free) if free else self._forked()
        return self._taken(worker)

    def _keeps(self, worker: _Worker) -> bool:
        return worker.place is not None and worker.since + remote_worker.KEPT > monotonic()

    def _taken(self, worker: _Worker) -> _Worker:
        del self._idle[worker]
        return worker

    def _forked(self) -> _Worker | None:
        try:
            pid, socket = remote_worker.fork(self._home, self._environ)
        except OSError:
            return next(map(self._taken, list(self._idle)), None)
        worker = _Worker(pid, socket)
        self._loop.watch(socket.fileno(), lambda _events: self._heard(worker), READ)
        return worker

    def _heard(self, worker: _Worker) -> None:
        try:
            records = worker.socket.recv(handover.LARGEST_ANSWER)
        except BlockingIOError:
            return
        except OSError:
            records = b""
        place, number = worker.place, worker.number
        if not records or place is None:
            self._lost(worker)
            return
        now, worker.number = monotonic(), -1
        place.took(now - worker.since)
        worker.since = now
        self._finished(number, 0, records)
        if place.waiting:
            _, job, delivery = place.waiting.popleft()
            if self._give(worker, place, job, delivery):
                return
            place.waiting.appendleft((now, job, delivery))
        else:
            self._waiting.discard(place)
        self._idle[worker] = None

    def _lost(self, worker: _Worker) -> None:
        """A worker has ended by itself."""
        self._idle.pop(worker, None)
        self._bury(worker)

    def _dismiss(self, worker: _Worker) -> None:
        """Let an idle worker go; it ends when it sees that."""
        del self._idle[worker]
        self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        """Say no more to a worker, and see how it ended when it has; its delivery, if it had one, has failed."""
        self._loop.forget(worker.socket.fileno())
        worker.socket.close()
        ending = os.pidfd_open(worker.pid)

        def ended(_events: int) -> None:
            self._loop.forget(ending)
            os.close(ending)
            code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
            if worker.number >= 0 and worker.place is not None:
                worker.place.busy -= 1
                self._finished(worker.number, code if code >= 0 else None, b"")

        self._loop.watch(ending, ended, READ)

    def _look(self) -> None:
        """Is bin/qmail-remote our own still, and where do the routes lead?"""
        now = monotonic()
        if self._looked and now < self._looked + LOOKED:
            return
        self._looked = now
        self._names.attend()
        replaced = self._environ.get(b"QMAILREMOTE")
        self._ours = not replaced and is_own(self._home.program(b"qmail-remote"), b"qmail-remote")
        try:
            routes = smtproutes.table(self._control.lines(b"smtproutes") or ())
        except Temporary:
            routes = {}  # the worker says so
        if routes != self._routes or len(self._leads) > MOST_PLACES:
            self._routes = routes
            self._leads.clear()
            self._places = {key: place for key, place in self._places.items() if place.busy or place.waiting}
