"""The workers of qmail-lspawn: who they are, what they have to do, what they say.

A worker serves one user, for some seconds after its last job, and up to a thousand jobs. An idle worker gets
what waits for its user, in one packet; where none is idle another is made, unless one is at work on files
alone and will soon be free. Nothing a worker says is believed but reports on the jobs it was given:
anything else ends it, and its jobs are deferred.
"""

from __future__ import annotations

import os
from collections import deque

from qmail.host import passing, signals
from qmail.host.clock import monotonic
from qmail.protocols import localjobs
from qmail.services.local_births import Births
from qmail.services.local_programs import NO_FORK
from qmail.stores import home as homes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.usersassign import Account
    from qmail.host.passing import Link
    from qmail.programs.deliver.qmail_lspawn import Delivery, Spawner
    from qmail.services.local_programs import Programs

MOST_WORKERS = 200
MOST_JOBS = 1000  # of one worker
IDLE = 8.0  # seconds a worker waits for more
GRACE = 0.01  # seconds a job waits for a worker that is at work on files
PATIENCE = 1.0  # seconds a job waits where there can be no more workers; then a program makes it
MOST_ALONE = 1000  # addresses of a user that are known to need more than files
LONGEST_BIRTH = 60.0  # seconds until a worker runs
LONGEST_WORK = 86400.0  # seconds; who takes longer is ended
ALONE_FOR = 60.0  # seconds that an address is known to need more than files
LONGEST = 16384  # bytes of a job's addresses; a longer one goes to a program
MOST_TOGETHER = passing.LARGEST - 2 * LONGEST  # bytes of a packet that still takes a job


class Worker:
    """A process that serves a crew's user."""

    __slots__ = ("alone", "crew", "done", "handle", "jobs", "leaving", "link", "serial", "since")

    def __init__(self, crew: Crew, link: Link, serial: int) -> None:
        self.crew, self.link, self.serial = crew, link, serial
        self.jobs: dict[int, Delivery] = {}
        self.done = 0  # jobs
        self.since = monotonic()  # when it began to work, or to wait
        self.handle = -1  # a pidfd, once it runs
        self.leaving = False  # it gets no more jobs
        self.alone = False  # at work on more than files


class Crew:
    """One user: the workers, and what waits for them."""

    __slots__ = ("idle", "needs_alone", "waiting", "who", "workers")

    def __init__(self, who: Account) -> None:
        self.who = who
        self.waiting: deque[tuple[float, Delivery]] = deque()  # since when, what
        self.workers: set[Worker] = set()
        self.idle: list[Worker] = []
        self.needs_alone: dict[tuple[bytes, bytes], float] = {}  # (dash, ext), until when


class Crews:
    """Delivers for a spawner. `births`: whoever makes workers, for others too."""

    def __init__(self, spawner: Spawner, programs: Programs) -> None:
        self._spawner, self._programs = spawner, programs
        self._launcher = homes.Launcher(spawner.home, b"qmail-local")
        self._crews: dict[tuple[int, int, bytes, bytes], Crew] = {}
        self._pending: set[Crew] = set()  # those for whom something waits
        self._workers: dict[int, Worker] = {}  # by serial
        self.births = Births(spawner, self._started)
        self._looked = 0.0  # when it was last seen who waits for too long

    def deliver(self, delivery: Delivery) -> None:
        """Let the delivery wait for a worker."""
        who = delivery.account
        size = len(delivery.local) + len(delivery.host) + len(delivery.sender)
        if (
            who is None
            or not self.births.possible
            or size + 2 * len(delivery.local) > LONGEST
            or not self._launcher.is_own()
        ):
            self._programs.deliver(delivery)
            return
        key = who.uid, who.gid, who.user, who.home
        crew = self._crews.get(key)
        if crew is None:
            crew = self._crews[key] = Crew(who)
        crew.waiting.append((monotonic(), delivery))
        self._pending.add(crew)

    def dismiss(self) -> None:
        """Let workers go as soon as they have reported; what comes from now on goes to others."""
        for worker in list(self._workers.values()):
            worker.leaving = True
            if not worker.jobs:
                self._part_with(worker)
        for crew in self._crews.values():
            crew.needs_alone.clear()

    def round(self) -> float | None:
        """Hand out what waits; returns how many seconds the loop may wait before the next round."""
        if not self._workers and not self._pending:
            return None
        now = monotonic()
        for crew in list(self._pending):
            self._staff(crew, now)
        if now - self._looked >= 1.0:
            self._looked = now
            self._look_around(now)
        return GRACE if self._pending else 1.0

    def _staff(self, crew: Crew, now: float) -> None:
        while crew.waiting:
            since, first = crew.waiting[0]
            alone = self._is_alone(crew, first, now)
            if crew.idle:
                worker = crew.idle.pop()
            else:
                soon = not alone and now - since < GRACE
                if soon and any(not (worker.alone or worker.leaving) for worker in crew.workers):
                    return
                hired = self._hire(crew)
                if hired is None:
                    if self.births.possible and now - since < PATIENCE:
                        return
                    if crew.waiting:
                        self._programs.deliver(crew.waiting.popleft()[1])
                    continue
                worker = hired
            worker.since, worker.alone = now, alone
            if alone:
                self._hand_alone(worker, crew.waiting.popleft()[1])
            else:
                self._hand_together(worker, now)
            if not worker.jobs and worker.serial in self._workers:
                self._rest(worker)
        self._pending.discard(crew)
        self._forget_empty(crew)

    def _is_alone(self, crew: Crew, delivery: Delivery, now: float) -> bool:
        if not crew.needs_alone or delivery.account is None:
            return False
        return crew.needs_alone.get((delivery.account.dash, delivery.account.ext), 0.0) > now

    def _hire(self, crew: Crew) -> Worker | None:
        # A new worker, or None where there can be none now.
        if len(self._workers) >= MOST_WORKERS and not self._make_room():
            return None
        born = self.births.make(crew.who)
        if born is None:
            return None
        serial, link = born
        worker = Worker(crew, link, serial)
        self._workers[worker.serial] = worker
        crew.workers.add(worker)
        self._spawner.loop.watch(link.fileno(), lambda _events: self._heard(worker))
        return worker

    def _make_room(self) -> bool:
        resting = [worker for worker in self._workers.values() if not worker.jobs]
        if not resting:
            return False
        self._part_with(min(resting, key=lambda worker: worker.since))
        return True

    def _hand_alone(self, worker: Worker, delivery: Delivery) -> None:
        if not self._spawner.open_message(delivery):
            return
        output = self._spawner.open_output(delivery)
        if output is None:
            os.close(delivery.order.message)
            return
        self._hand(worker, localjobs.ALONE, [delivery], [delivery.order.message, output])

    def _hand_together(self, worker: Worker, now: float) -> None:
        crew = worker.crew
        jobs: list[Delivery] = []
        size = 0
        while crew.waiting and len(jobs) < passing.MOST and size < MOST_TOGETHER:
            if jobs and self._is_alone(crew, crew.waiting[0][1], now):
                break
            delivery = crew.waiting.popleft()[1]
            if self._spawner.open_message(delivery):
                jobs.append(delivery)
                size += 64 + 2 * len(delivery.local) + len(delivery.host) + len(delivery.sender)
        if jobs:
            self._hand(worker, localjobs.TOGETHER, jobs, [delivery.order.message for delivery in jobs])

    def _hand(self, worker: Worker, letter: bytes, jobs: list[Delivery], descriptors: list[int]) -> None:
        packet = [letter]
        for delivery in jobs:
            worker.jobs[delivery.number] = delivery
            who = delivery.account or worker.crew.who
            addresses = delivery.local, who.dash, who.ext, delivery.host, delivery.sender
            order = delivery.order
            packet.append(localjobs.job(localjobs.Job(delivery.number, order.size, *addresses, order.asked)))
        try:
            worker.link.send(b"".join(packet), descriptors, wait=False)
        except OSError:
            self._lose(worker)
        finally:
            passing.close_all(descriptors)

    def _heard(self, worker: Worker) -> None:
        try:
            packet = worker.link.receive_bare()
            reports = localjobs.parse_reports(packet)
            numbers = {number for number, _, _ in reports}
            if not packet or len(numbers) < len(reports) or not numbers <= worker.jobs.keys():
                raise localjobs.Broken("a report on what it was not given")
        except (OSError, localjobs.Broken):
            self._lose(worker)
            return
        for number, code, text in reports:
            delivery = worker.jobs.pop(number)
            worker.done += 1
            if code == localjobs.GIVE_BACK and not worker.alone:
                self._take_back(worker.crew, delivery)
            else:
                self._spawner.finished(delivery, code, text)
        if not worker.jobs:
            self._rest(worker)

    def _take_back(self, crew: Crew, delivery: Delivery) -> None:
        if delivery.account is not None:
            if len(crew.needs_alone) >= MOST_ALONE:
                crew.needs_alone.clear()
            crew.needs_alone[delivery.account.dash, delivery.account.ext] = monotonic() + ALONE_FOR
        crew.waiting.appendleft((0.0, delivery))
        self._pending.add(crew)

    def _rest(self, worker: Worker) -> None:
        worker.since = monotonic()
        worker.alone = False
        if worker.leaving or worker.done >= MOST_JOBS:
            self._part_with(worker)
        else:
            worker.crew.idle.append(worker)

    def _lose(self, worker: Worker) -> None:
        # It is gone, or has said what nobody may: in either case it is ended, and what it had to do deferred.
        if worker.handle >= 0:
            signals.send(worker.handle, signals.KILL)
        jobs = list(worker.jobs.values())
        worker.jobs.clear()
        for delivery in jobs:
            if worker.handle >= 0:
                self._spawner.finished(delivery, None)
            else:
                self._spawner.report(delivery, NO_FORK)
        self._part_with(worker)

    def _part_with(self, worker: Worker) -> None:
        crew = worker.crew
        self._spawner.loop.forget(worker.link.fileno())
        worker.link.close()
        if worker.handle >= 0:
            os.close(worker.handle)
        del self._workers[worker.serial]
        crew.workers.discard(worker)
        if worker in crew.idle:
            crew.idle.remove(worker)
        self._forget_empty(crew)

    def _forget_empty(self, crew: Crew) -> None:
        if not crew.workers and not crew.waiting:
            who = crew.who
            self._crews.pop((who.uid, who.gid, who.user, who.home), None)

    def _look_around(self, now: float) -> None:
        for worker in list(self._workers.values()):
            if not worker.jobs and now - worker.since > IDLE:
                self._part_with(worker)
            elif worker.jobs and now - worker.since > (LONGEST_WORK if worker.handle >= 0 else LONGEST_BIRTH):
                self._lose(worker)

    def _started(self, serial: int, handle: int) -> None:
        worker = self._workers.get(serial)
        if worker is None or worker.handle >= 0:
            os.close(handle)
        else:
            worker.handle = handle
