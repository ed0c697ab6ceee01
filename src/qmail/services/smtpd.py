"""Warm qmail-smtpd processes behind tcpserver: one for each processor, each with many sessions.

They take a connection where tcpserver was told to run our own qmail-smtpd without arguments, bin/qmail-queue
is our own too, and the session's environment adds nothing to the server's but what qmail-smtpd knows.
Every other connection gets an exec'd qmail-smtpd, or whatever stands in its place.

A worker that has taken RETIRES connections is followed by a fresh one and ends with its last session.

SMTPDCLIENTS in the server's environment is the most clients that one worker has at a time; there are then
as many workers as that takes. With 1 no two clients share a process.
"""

from __future__ import annotations

import _socket
import gc
import os
from struct import Struct

from qmail.host import clock, execute, fds, program, sandbox, signals, title
from qmail.services import smtpworker
from qmail.stores import confinement
from qmail.stores import home as homes
from qmail.stores.control import Control, leading_digits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qmail.host.resident import Resident
    from qmail.stores.home import Home

NAME = b"qmail-smtpd"
KNOWN = frozenset((
    b"PROTO", b"TCPLOCALHOST", b"TCPLOCALIP", b"TCPLOCALPORT", b"TCPREMOTEHOST", b"TCPREMOTEINFO", b"TCPREMOTEIP",
    b"TCPREMOTEPORT", b"RELAYCLIENT", b"DATABYTES", b"SMTPS",
    b"SMTPAUTH", b"XCLIENT",
))  # fmt: skip
CLIENTS = b"SMTPDCLIENTS"
MANY = 1 << 20
IDLE = 8  # workers that are kept with nothing to do where each has few clients
RETIRES = 5000  # connections
PAUSE = 1.0  # seconds between two workers, so that one that cannot live is not forked without end
LARGEST_REPORT = 65536  # bytes
KILLED = 9  # raw wait status of a session whose worker is gone
_DESCRIPTOR = Struct("i")


def resident(words: list[bytes], environ: Mapping[bytes, bytes]) -> Resident | None:
    """Warm processes for the program `words`, or None where it is not our own qmail-smtpd."""
    if len(words) != 1 or b"QMAILQUEUE" in environ:
        return None
    for path in execute.candidates(words[0], environ):
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return Warm(path, environ) if homes.is_own(path, NAME) else None
    return None


class Worker:
    """One process, seen from the server."""

    __slots__ = ("control", "gone", "pid", "served", "sessions")

    def __init__(self, pid: int, control: _socket.socket) -> None:
        self.pid, self.control = pid, control
        self.sessions: set[int] = set()
        self.served = 0
        self.gone = False  # nothing more will be heard of it


class Ours:
    """Is the program at a path still our own? Looked at anew when the file has changed."""

    def __init__(self, path: bytes, name: bytes) -> None:
        self._path, self._name = path, name
        self._stamp: tuple[int, ...] = ()
        self._own = False

    def __bool__(self) -> bool:
        try:
            now = os.stat(self._path)
        except OSError:
            return False
        stamp = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_mode)
        if stamp != self._stamp:
            self._stamp, self._own = stamp, homes.is_own(self._path, self._name) and bool(now.st_mode & 0o111)
        return self._own


class Warm:
    """The workers (host.resident.Resident)."""

    def __init__(self, path: bytes, environ: Mapping[bytes, bytes]) -> None:
        self._environ = dict(environ)
        self._home: Home = homes.find(path, environ)
        self._program = Ours(path, NAME)
        self._queue = Ours(self._home.program(b"qmail-queue"), b"qmail-queue")
        self._roads = confinement.Roads(self._home)
        self._fresh: list[Worker] = []  # those that get connections
        self._all: dict[int, Worker] = {}  # by pid, those that only finish included
        self._left: list[_socket.socket] = []  # closed when the server no longer watches them
        self._count = len(os.sched_getaffinity(0))
        self._most = int(leading_digits(environ.get(CLIENTS, b"")) or b"0") or MANY
        self._not_before = 0.0

    def begin(self, listener_fds: Sequence[int]) -> None:
        """Fork the workers."""
        sandbox.prepare()
        gc.collect()
        gc.freeze()
        self._fill()

    def serve(self, connection_fd: int, environ: dict[bytes, bytes], number: int) -> bool:
        """Hand a connection to the worker with the fewest."""
        if not (self._program and self._queue):
            return False
        known = self._known(environ)
        if known is None:
            return False
        if self._roads.changed():
            # What these are confined to is not where the control files stand now.
            for worker in list(self._fresh):
                self._retire(worker)
        if len(self._fresh) < self._count:
            self._fill()
        order = b"\0".join([b"%d" % number, *known])
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _DESCRIPTOR.pack(connection_fd))]
        for worker in self._candidates():
            try:
                worker.control.sendmsg([order], rights)
            except OSError:
                continue  # its socket is full, or it is gone
            worker.sessions.add(number)
            worker.served += 1
            if worker.served >= RETIRES and self._fork():
                self._retire(worker)
            return True
        return False

    def descriptors(self) -> Sequence[int]:
        """The sockets to the workers that live."""
        return [worker.control.fileno() for worker in self._all.values() if not worker.gone]

    def ended(self, descriptor: int) -> Sequence[tuple[int, int]]:
        """What a worker says of its sessions."""
        self._close_left()
        for worker in self._all.values():
            if worker.control.fileno() == descriptor:
                told = self._heard(worker)
                self._thin()
                return told
        return ()

    def reaped(self, pid: int, status: int) -> Sequence[tuple[int, int]] | None:
        """A worker is gone, and with it the sessions that it had."""
        worker = self._all.get(pid)
        if worker is None:
            return None
        self._close_left()
        told = []
        while more := self._heard(worker):
            told += more
        del self._all[pid]
        self._left.append(worker.control)
        if worker in self._fresh:
            self._fresh.remove(worker)
        return told + [(number, status or KILLED) for number in worker.sessions]

    def close(self) -> None:
        """No more connections come."""
        for worker in self._all.values():
            worker.control.close()

    def _close_left(self) -> None:
        while self._left:
            self._left.pop().close()

    def _known(self, environ: dict[bytes, bytes]) -> list[bytes] | None:
        # The variables of a session, or None where there is one that only a program of its own can have.
        if b"QMAILQUEUE" in environ:
            return None
        servers = self._environ
        for name, value in environ.items():
            if name not in KNOWN and servers.get(name) != value:
                return None
        return [b"%b=%b" % (name, environ[name]) for name in KNOWN if name in environ]

    def _heard(self, worker: Worker) -> list[tuple[int, int]]:
        # What the worker said in one packet; with nothing in it, it is gone, and will be reaped.
        try:
            packet = worker.control.recv(LARGEST_REPORT)
        except BlockingIOError:
            return []
        except OSError:
            packet = b""
        worker.gone = not packet
        told = list(smtpworker.END.iter_unpack(packet))
        worker.sessions.difference_update(number for number, _ in told)
        return told

    def _candidates(self) -> list[Worker]:
        # Those that may have one more client, the least busy first.
        free = [worker for worker in self._fresh if len(worker.sessions) < self._most]
        if not free and self._fork():
            return self._fresh[-1:]
        return sorted(free, key=_load)

    def _thin(self) -> None:
        # Where a worker has few clients there were many workers when there were many clients.
        if len(self._fresh) > self._count + IDLE:
            idle = [worker for worker in self._fresh if not worker.sessions]
            for worker in idle[self._count + IDLE :]:
                self._retire(worker)

    def _retire(self, worker: Worker) -> None:
        self._fresh.remove(worker)
        try:
            worker.control.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # it is gone already

    def _fill(self) -> None:
        if clock.monotonic() >= self._not_before:
            while len(self._fresh) < self._count and self._fork():
                self._not_before = clock.monotonic() + PAUSE

    def _fork(self) -> bool:
        try:
            ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        except OSError:
            return False
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return False
        if not pid:
            self._work(theirs)
        theirs.close()
        ours.setblocking(False)
        worker = self._all[pid] = Worker(pid, ours)
        self._fresh.append(worker)
        return True

    def _work(self, control: _socket.socket) -> None:
        # In the new process. Nothing may return from here into the server's stack.
        try:
            title.show(NAME)
            fds.close_from(3, keep=(control.fileno(),))
            signals.restore()
            signals.ignore(signals.PIPE, signals.XFSZ)
            fds.most()  # as many connections as the system lets us have
            control.setblocking(False)
            sandbox.enter(confinement.incoming_smtp(self._home))
            smtpworker.run(control, self._home, Control(self._home.path))
        except BaseException as error:
            fds.write_if_ready(2, program.last_words(NAME, error)[1])
        finally:
            os._exit(111)


def _load(worker: Worker) -> int:
    return len(worker.sessions)
