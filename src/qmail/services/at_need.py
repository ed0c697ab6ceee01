"""Resident programs at need: who asks first makes them start.

Where no qmail-dns runs for this home, qmail-rspawn listens at qr/dns and hands the socket to one at the
first knock. It ends by itself when nobody asks any more, and the next knock starts another. So with qmail-stsd
and qmail-tlsrptd.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import TEMPORARY
from qmail.host import execute, locks, signals
from qmail.host.clock import monotonic
from qmail.host.localsocket import PACKETS, STREAM, Listener
from qmail.host.loop import READ
from qmail.stores import names, policies, tlscounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.host.loop import Loop
    from qmail.stores.home import Home

IDLE = 600  # seconds without a question after which it ends
PAUSE = 1.0  # seconds between two starts


def doors(where: Home, environ: Mapping[bytes, bytes], loop: Loop) -> list[AtNeed]:
    """Those of all that deliveries to other hosts need. None of them is attended yet."""
    return [
        AtNeed(where, environ, loop, b"qmail-dns", lock=names.LOCK, socket=names.SOCKET, mode=names.MODE, kind=STREAM),
        AtNeed(
            where,
            environ,
            loop,
            b"qmail-stsd",
            lock=policies.LOCK,
            socket=policies.SOCKET,
            mode=policies.MODE,
            keeps=policies.DIRECTORY,
        ),
        AtNeed(
            where,
            environ,
            loop,
            b"qmail-tlsrptd",
            lock=tlscounts.LOCK,
            socket=tlscounts.SOCKET,
            mode=tlscounts.MODE,
            keeps=tlscounts.DIRECTORY,
        ),
    ]


class AtNeed:
    """The door at which one program is knocked up. `mode` and `kind` are those of its socket.

    `keeps`: the directory that it needs; where that is missing, as in homes of old, nobody listens.
    """

    def __init__(
        self,
        where: Home,
        environ: Mapping[bytes, bytes],
        loop: Loop,
        program: bytes,
        *,
        lock: bytes,
        socket: bytes,
        mode: int,
        kind: int = PACKETS,
        keeps: bytes = b"",
    ) -> None:
        self._home, self._loop = where, loop
        self._environ = {**environ, b"QMAIL_HOME": where.path}
        self._program, self._lock, self._socket, self._mode, self._kind = program, lock, socket, mode, kind
        self._keeps = where.file(keeps)
        self._listener: Listener | None = None
        self._watching = False
        self._pid = 0
        self._pause = 0.0  # until then no other one is started

    def attend(self) -> None:
        """Listen, unless one runs. To be called now and then, and after `rest`."""
        if self._watching or self._pid or monotonic() < self._pause:
            return
        self._pause = 0.0
        if self._listener is None:
            self._listener = self._open()
        if self._listener is not None:
            self._loop.watch(self._listener.fileno(), lambda _events: self._start(), READ)
            self._watching = True

    def rest(self) -> float | None:
        """After how many seconds somebody may be waiting at the door."""
        return max(self._pause - monotonic(), 0) if self._pause else None

    def end(self) -> None:
        """Let the one that we started end."""
        if self._pid:
            os.kill(self._pid, signals.TERM)

    def _open(self) -> Listener | None:
        if not os.path.isdir(self._keeps):
            return None
        try:
            lock = locks.take(self._home.file(self._lock))
            if lock is None:
                return None
            try:
                return Listener(self._home.file(self._socket), self._mode, self._kind)
            finally:
                os.close(lock)
        except OSError:
            return None  # those who want to know something do without

    def _start(self) -> None:
        assert self._listener is not None
        self._loop.forget(self._listener.fileno())
        self._watching = False
        started = monotonic()
        argv = (self._home.program(self._program), b"-i", b"%d" % IDLE)
        descriptors = {0: self._listener.fileno(), 1: 2, 2: 2}
        try:
            self._pid = execute.spawn(argv, self._environ, descriptors, directory=self._home.path, session=True)
            ending = os.pidfd_open(self._pid)
        except OSError:
            if self._pid:
                # Nobody would hear of its end, and so start no other.
                os.kill(self._pid, signals.KILL)
                os.waitpid(self._pid, 0)
                self._pid = 0
            self._pause = started + PAUSE
            return
        self._loop.watch(ending, lambda _events: self._ended(ending, started), READ)

    def _ended(self, ending: int, started: float) -> None:
        self._loop.forget(ending)
        os.close(ending)
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._pid = 0
        if code == TEMPORARY and self._listener is not None:
            # Another one runs by now, perhaps with a socket of its own: `attend` finds out.
            self._listener.close()
            self._listener = None
        self._pause = started + PAUSE
        self.attend()
