"""qmail-rspawn with its workers: processes forked from it that have qmail-remote loaded already.

A delivery goes to the worker that has a connection to its host, else to any idle one, else to a new
one; a worker has one delivery at a time. Idle ones are let go after a few seconds.
"""

from __future__ import annotations

import _socket
import array
import os

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
SPARE = 20  # idle workers that may keep their connections to other hosts before one is taken for a new host


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run qmail-rspawn."""
    return qmail_rspawn.main(argv, environ, Workers)


class _Worker:
    """One worker as the spawner sees it."""

    __slots__ = ("key", "number", "pid", "since", "socket")

    def __init__(self, pid: int, socket: _socket.socket) -> None:
        self.pid, self.socket = pid, socket
        self.number = -1  # of the delivery it makes
        self.key: Key | None = None  # where its connection leads
        self.since = 0.0  # idle since


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
        self._names = NameService(where, environ, loop)
        self._names.attend()
        self._looked = 0.0
        self._ours = False
        self._routes: Mapping[bytes, bytes] = {}

    def start(self, delivery: Delivery) -> bool:
        """Take the delivery over, or say that it must be started the long way."""
        self._look()
        job = handover.job(delivery.host, delivery.sender, delivery.recipient)
        if not self._ours or len(job) > handover.LARGEST:
            return False
        key = smtproutes.route(self._routes, delivery.host).key
        worker = self._pick(key)
        if worker is None:
            return False
        worker.number, worker.key = delivery.number, key
        descriptors = array.array("i", (delivery.message,))
        try:
            worker.socket.sendmsg([job], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
        except OSError:
            worker.number = -1  # it has just died, which `_heard` will find out
            return False
        os.close(delivery.message)
        return True

    def rest(self) -> float | None:
        """Let go what has been idle too long; after how many seconds to look again."""
        soon = self._names.rest()
        if soon == 0:
            self._names.attend()
        now = monotonic()
        for worker in list(self._idle):
            if worker.since + IDLE > now:
                left = worker.since + IDLE - now
                return left if soon is None else min(left, soon)
            self._dismiss(worker)
        return soon

    def end(self) -> None:
        """There will be no more deliveries."""
        self._names.end()

    def _pick(self, key: Key) -> _Worker | None:
        """An idle worker that is taken out of the idle ones, or a new one; None where none can be had."""
        for worker in reversed(self._idle):
            if worker.key == key:
                break
        else:
            if len(self._idle) <= SPARE:
                free = next((each for each in reversed(self._idle) if not self._keeps(each)), None)
            else:
                free = next(iter(self._idle))
            return self._taken(free) if free else self._forked()
        return self._taken(worker)

    def _keeps(self, worker: _Worker) -> bool:
        return worker.key is not None and worker.since + remote_worker.KEPT > monotonic()

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
            records = worker.socket.recv(handover.LARGEST * 4)
        except BlockingIOError:
            return
        except OSError:
            records = b""
        if not records:
            self._lost(worker)
            return
        number, worker.number = worker.number, -1
        worker.since = monotonic()
        self._idle[worker] = None
        self._finished(number, 0, records)

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
            if worker.number >= 0:
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
            self._routes = smtproutes.table(self._control.lines(b"smtproutes") or ())
        except Temporary:
            self._routes = {}  # the worker says so
