"""qmail-rspawn with its workers: processes forked from it that have qmail-remote loaded already.

A delivery goes to an idle worker that has a connection to its host, else to any idle one, else to a
new one. Where a host takes mail as quickly as this machine can send it, a few workers carry all of it,
with some deliveries each in hand: every process that must be woken costs more than the delivery. What
waits behind one that turns out slow is taken back at once and given to others.

Idle workers are let go after a few seconds.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary
from qmail.host import fds, sandbox
from qmail.host.clock import monotonic
from qmail.host.loop import READ
from qmail.programs.deliver import qmail_rspawn
from qmail.protocols import handover
from qmail.rules import hosttable, smtproutes
from qmail.services import remote_worker
from qmail.services.at_need import doors
from qmail.services.remote_pool import Place, Worker
from qmail.stores.control import Control
from qmail.stores.home import is_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qmail.host.loop import Loop
    from qmail.stores.deliveries import Delivery
    from qmail.stores.home import Home

__doc__ = qmail_rspawn.__doc__  # what --help prints

IDLE = 6.0  # seconds until an idle worker is let go
LOOKED = 1.0  # seconds between looks at what may have changed on disk
QUICK = 0.0015  # seconds that a delivery takes where a few workers carry all
FEW = 2
IN_HAND = 6  # deliveries of one worker at such a place
STALL = 0.02  # seconds after which what waits behind a delivery is taken back
MOST_PLACES = 2000  # hosts remembered
SPARE = 20  # idle workers that may keep their connections to other hosts before one is taken for a new host
NO_WORKER = b"Zqmail-spawn unable to fork. (#4.3.0)\n\0"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run qmail-rspawn."""
    # Each delivery may take a few descriptors.
    fds.most()
    return qmail_rspawn.main(argv, environ, Workers)


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
        self._idle: dict[Worker, None] = {}  # the one that was used last is the last
        self._laden: dict[Worker, None] = {}  # with more than one delivery in hand
        self._places: dict[tuple[bytes, int, bool], Place] = {}
        self._leads: dict[bytes, Place] = {}  # of hosts
        self._doors = doors(where, environ, loop)
        sandbox.prepare()
        for door in self._doors:
            door.attend()
        self._looked = 0.0
        self._ours = False
        self._routes: Mapping[bytes, bytes] = {}

    def start(self, delivery: Delivery) -> bool:
        """Take the delivery over, or say that it must be started the long way."""
        self._look()
        if not self._ours or len(delivery.sender) + 2 * len(delivery.recipient) > handover.LARGEST // 2:
            return False
        place = self._leads.get(delivery.host) or self._found(delivery.host)
        return self._added(place, delivery) or self._hand_over(place, delivery)

    def rest(self) -> float | None:
        """Take back what waits too long, let go what has been idle too long; seconds until the next time."""
        now = monotonic()
        times = [self._patience(worker, now) for worker in list(self._laden)] if self._laden else []
        for door in self._doors:
            rest = door.rest()
            if rest == 0:
                door.attend()
            elif rest is not None:
                times.append(rest)
        while (worker := next(iter(self._idle), None)) is not None:
            if worker.since + IDLE > now:
                times.append(worker.since + IDLE - now)
                break
            del self._idle[worker]
            self._let_go(worker)
        return min(times, default=None)

    def end(self) -> None:
        """There will be no more deliveries."""
        for door in self._doors:
            door.end()

    def _found(self, host: bytes) -> Place:
        """Where deliveries for a host lead."""
        key = smtproutes.route(self._routes, host).key
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place()
        self._leads[host] = place
        return place

    def _added(self, place: Place, delivery: Delivery) -> bool:
        """Give it to a worker that is at work at a quick place, behind what that has in hand."""
        if place.floor > QUICK or len(place.busy) < FEW:
            return False
        worker = min(place.busy, key=lambda each: len(each.jobs))
        if len(worker.jobs) >= IN_HAND or not worker.give(place, delivery):
            return False
        self._laden[worker] = None
        return True

    def _patience(self, worker: Worker, now: float) -> float:
        if len(worker.jobs) < 2:
            del self._laden[worker]
        elif worker.since + STALL <= now:
            del self._laden[worker]
            self._distribute(worker)
            if not worker.jobs:  # it had begun nothing yet
                self._idle[worker] = None
        else:
            return worker.since + STALL - now
        return STALL

    def _distribute(self, worker: Worker) -> None:
        """Take back what the worker has not begun, and give each to one that has nothing else to do."""
        place = worker.place
        for delivery in worker.recall():
            if place is None or not self._hand_over(place, delivery):
                os.close(delivery.message)
                self._finished(delivery.number, 0, NO_WORKER)

    def _hand_over(self, place: Place, delivery: Delivery) -> bool:
        """Give the delivery to the idle worker that suits it best, or a new one; False where none can be had."""
        while (worker := self._pick(place)) is not None:
            if worker.give(place, delivery):
                return True
            self._let_go(worker)
            if worker.place is None:  # one more would not take it either
                break
        return False

    def _pick(self, place: Place) -> Worker | None:
        """A worker for a place, taken out of the idle ones, or a new one; None where none can be had."""
        worker = next((each for each in reversed(self._idle) if each.place is place), None)
        if worker is None and len(self._idle) > SPARE:
            worker = next(iter(self._idle))
        if worker is None:
            worker = next((each for each in reversed(self._idle) if not self._keeps(each)), None)
        if worker is None:
            worker = self._forked() or next(iter(self._idle), None)
        if worker is not None:
            self._idle.pop(worker, None)
        return worker

    def _keeps(self, worker: Worker) -> bool:
        return worker.place is not None and worker.since + remote_worker.KEPT > monotonic()

    def _forked(self) -> Worker | None:
        try:
            worker = Worker(*remote_worker.fork(self._home, self._environ))
        except OSError:
            return None
        self._loop.watch(worker.ours.fileno(), lambda _events: self._heard(worker), READ)
        self._loop.watch(worker.ending, lambda _events: self._ended(worker), READ)
        return worker

    def _let_go(self, worker: Worker) -> None:
        self._loop.forget(worker.ours.fileno())
        worker.close()

    def _heard(self, worker: Worker) -> None:
        answer = worker.answer()
        if answer is not None:
            self._finished(answer[0], 0, answer[1])
            if not worker.jobs:
                self._idle[worker] = None

    def _ended(self, worker: Worker) -> None:
        """The worker has ended: let go, or by an accident that what it had begun shares."""
        self._loop.forget(worker.ending)
        os.close(worker.ending)
        code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        if worker.ours.fileno() < 0:
            return
        while (answer := worker.answer()) is not None:
            self._finished(answer[0], 0, answer[1])
        self._loop.forget(worker.ours.fileno())
        self._idle.pop(worker, None)
        self._laden.pop(worker, None)
        self._distribute(worker)
        for number in worker.jobs:
            self._finished(number, code if code >= 0 else None, b"")
        if worker.place is not None:
            worker.place.busy.pop(worker, None)
        worker.close()

    def _look(self) -> None:
        """Is bin/qmail-remote our own still, and where do the routes lead?"""
        now = monotonic()
        if self._looked and now < self._looked + LOOKED:
            return
        self._looked = now
        for door in self._doors:
            door.attend()
        replaced = self._environ.get(b"QMAILREMOTE")
        self._ours = not replaced and is_own(self._home.program(b"qmail-remote"), b"qmail-remote")
        try:
            routes = hosttable.table(self._control.lines(b"smtproutes") or ())
        except Temporary:
            routes = {}  # the worker says so
        if routes != self._routes or len(self._leads) > MOST_PLACES:
            self._routes = routes
            self._leads.clear()
            self._places = {key: place for key, place in self._places.items() if place.busy}
