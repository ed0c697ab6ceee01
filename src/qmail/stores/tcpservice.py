"""The life of a TCP server: connections are accepted, decided by the rules, handed over, counted and logged.

Decided here means: the program behind never sees a connection that the rules refuse. A connection is served by
a resident's warm process, or else by a program of its own.
"""

from __future__ import annotations

import gc
import os

from qmail.formats import tcprules
from qmail.formats.tcpenviron import Connection, environment, summary
from qmail.host import clock, execute, processes, signals, sockets
from qmail.host.acceptor import Acceptor
from qmail.host.logwriter import LogWriter
from qmail.host.loop import Loop
from qmail.host.program import last_words, line
from qmail.host.reasons import reason
from qmail.stores.callers import Callers
from qmail.stores.rules import RulesFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.formats.tcpoptions import Settings
    from qmail.host.resident import Resident
    from qmail.host.sockets import Address, Listener
    from qmail.stores.lookups import Lookups

DROPPING = b"tcpserver: warning: dropping connection, "
FIRST_NUMBER = 1 << 22 | 1  # above every pid of Linux
BLOCKED = 0.5  # seconds until a log that takes nothing is tried again
GATHER = 0.04  # seconds that log lines of warm sessions gather in: each write wakes the logger
DENIED, FAILED = 100 << 8, 111 << 8  # raw wait statuses


class Service:
    """Accepts, asks the rules, hands over, counts, logs."""

    def __init__(
        self,
        settings: Settings,
        program: list[bytes],
        environ: dict[bytes, bytes],
        listeners: list[Listener],
        warm: Resident | None,
        lookups: Lookups | None,
    ) -> None:
        self.settings, self.program, self.environ, self.warm = settings, program, environ, warm
        self.rules = RulesFile(settings.rules) if settings.rules is not None else None
        self.loop = Loop()
        self.acceptor = Acceptor(self.loop, listeners, settings.limit, self._arrived, self._short)
        self.callers = Callers(self.loop, settings, lookups, self._known) if settings.inquires else None
        if lookups is not None:
            lookups.join(self.loop)
        self.local = {listener: _fixed(listener) for listener in listeners}
        self.serving: dict[int, bytes] = {}  # pid or number of each connection: its client
        self.clients: dict[bytes, int] = {}  # client: its connections
        self.number = FIRST_NUMBER
        self.watched: list[int] = []
        self.log = LogWriter(2)
        self.log_due = 0.0  # when what has gathered is to be written
        self.ending = False

    def run(self, arrivals: int) -> int:
        """Serve until TERM."""
        gc.collect()
        gc.freeze()
        self.loop.watch(arrivals, lambda _: self._signalled(arrivals))
        self._watch_warm()
        self._status()
        while not self.ending:
            times = self.acceptor.adjust(), self.callers.tick() if self.callers is not None else None
            longest = min((each for each in times if each is not None), default=None)
            wait = self._let_out()
            self.loop.round(wait if longest is None else longest if wait is None else min(longest, wait))
        if self.warm is not None:
            self.warm.close()
        self.log.flush()
        return 0

    def _let_out(self) -> float | None:
        """Write log lines. Returns the seconds until there are more to be written, None where nothing waits."""
        if not self.log.waiting:
            return None
        now = clock.monotonic()
        if self.warm is not None and not self.log_due:
            self.log_due = now + GATHER
        if now < self.log_due:
            return self.log_due - now
        self.log_due = 0.0 if self.log.flush() else now + BLOCKED
        return self.log_due - now if self.log_due else None

    def _arrived(self, descriptor: int, remote: Address, listener: Listener) -> None:
        self._status()
        try:
            local = self.local[listener] or sockets.local(descriptor)
            if not self.settings.keeps_route:
                sockets.forget_route(descriptor)
        except OSError as error:
            self._drop(descriptor, b"unable to get local address: " + reason(error))
            return
        try:
            if self.settings.banner:
                sockets.send_now(descriptor, self.settings.banner)
        except OSError as error:
            self._drop(descriptor, b"unable to print banner: " + reason(error))
            return
        connection = Connection(local, remote, self.settings.local_host)
        if self.callers is not None:
            self.callers.meet(descriptor, connection)
        else:
            self._decide(descriptor, connection)

    def _known(self, descriptor: int, connection: Connection, problem: bytes) -> None:
        if problem:
            self._say_client(b"%d" % self.number, connection)
            self._drop(descriptor, problem)
        else:
            self._decide(descriptor, connection)

    def _decide(self, descriptor: int, connection: Connection) -> None:
        client = tcprules.client(connection.remote[0])
        self.clients[client] = self.clients.get(client, 0) + 1
        try:
            self._serve(descriptor, client, connection)
        except Exception as error:
            # What nobody foresaw costs this connection, not the server with all the others.
            self._drop(descriptor, last_words(b"tcpserver", error)[1], client)

    def _serve(self, descriptor: int, client: bytes, connection: Connection) -> None:
        variables: list[bytes] = []
        denied = bool(self.settings.per_client and self.clients[client] > self.settings.per_client)
        if self.rules is not None:
            try:
                decision = self.rules.decide(connection.remote[0], connection.remote_host, connection.info)
                variables, denied = decision.variables, denied or decision.denied
            except OSError as error:
                if not self.settings.may_lack_rules or not isinstance(error, FileNotFoundError):
                    self._say_client(b"%d" % self.number, connection)
                    self._drop(descriptor, b"unable to read " + self.rules.path + b": " + reason(error), client)
                    return
        if denied:
            self._say_client(b"%d" % self.number, connection, b"deny")
            self._finish(descriptor, client, DENIED)
            return
        environ = environment(self.environ, connection)
        for variable in variables:
            name, _, value = variable.partition(b"=")
            environ[name] = value
        if self.warm is not None and self.warm.serve(descriptor, environ, self.number):
            self._say_client(b"%d" % self.number, connection, b"ok")
            self.serving[self.number] = client
            self.number += 1
            os.close(descriptor)
            self._watch_warm()
        else:
            self._launch(descriptor, client, connection, environ)

    def _launch(self, descriptor: int, client: bytes, connection: Connection, environ: dict[bytes, bytes]) -> None:
        try:
            pid = execute.launch(self.program, environ, descriptor, self.environ)
        except OSError as error:
            self._say_client(b"%d" % self.number, connection, b"ok")
            self._drop(descriptor, b"unable to run " + self.program[0] + b": " + reason(error), client)
        else:
            self._say_client(b"%d" % pid, connection, b"ok")
            # Said now, before the program's own words.
            self.log.flush()
            self.serving[pid] = client
            os.close(descriptor)

    def _drop(self, descriptor: int, text: bytes, client: bytes = b"") -> None:
        self._say(DROPPING + text)
        self._finish(descriptor, client, FAILED)

    def _finish(self, descriptor: int, client: bytes, status: int) -> None:
        os.close(descriptor)
        self.serving[self.number] = client
        self._ended(self.number, status)
        self.number += 1

    def _ended(self, number: int, status: int) -> None:
        client = self.serving.pop(number, None)
        if client is None:
            return
        if self.settings.verbosity > 1:
            self._say(b"tcpserver: end %d status %d" % (number, status))
        self.acceptor.running -= 1
        left = self.clients.get(client, 1) - 1
        if left:
            self.clients[client] = left
        else:
            self.clients.pop(client, None)
        self._status()

    def _signalled(self, arrivals: int) -> None:
        came = signals.arrived(arrivals)
        self.ending = self.ending or signals.TERM in came
        if signals.CHLD not in came:
            return
        for pid, status in processes.reaped():
            told = self.warm.reaped(pid, status) if self.warm is not None else None
            if told is None:
                self._ended(pid, status)
            else:
                self._told(told)

    def _watch_warm(self) -> None:
        warm = self.warm
        if warm is None:
            return
        now = warm.descriptors()
        if now == self.watched:
            return
        for gone in set(self.watched).difference(now):
            self.loop.forget(gone)
        for new in set(now).difference(self.watched):
            self.loop.watch(new, lambda _, each=new: self._told(warm.ended(each)))  # type: ignore[misc]
        self.watched = list(now)

    def _told(self, sessions: Sequence[tuple[int, int]]) -> None:
        for number, status in sessions:
            self._ended(number, status)
        self._watch_warm()

    def _say(self, text: bytes) -> None:
        if self.settings.verbosity:
            self.log.lines.append(line(text))

    def _short(self, error: OSError) -> None:
        self._say(DROPPING + b"unable to accept: " + reason(error))

    def _status(self) -> None:
        if self.settings.verbosity > 1:
            self._say(b"tcpserver: status: %d/%d" % (self.acceptor.running, self.settings.limit))

    def _say_client(self, number: bytes, connection: Connection, verdict: bytes = b"") -> None:
        if self.settings.verbosity > 1:
            self._say(b"tcpserver: pid %b from %b" % (number, connection.remote[0]))
            if verdict:
                self._say(b"tcpserver: %b %b %b" % (verdict, number, summary(connection)))


def _fixed(listener: Listener) -> Address | None:
    # The local address of every connection, where it is one.
    address = sockets.plain(listener.getsockname())
    return None if address[0] in (b"0.0.0.0", b"::") else address
