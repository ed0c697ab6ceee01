"""tcpserver: accept TCP connections, and run a program for each.

    tcpserver -vHR -l "$LOCAL" -x /etc/tcp.smtp.cdb -u "$QUID" -g "$QGID" 0 smtp qmail-smtpd

PROGRAM gets the connection as descriptors 0 and 1, and who is calling as variables (tcp-environ(5)):
PROTO, TCPLOCALHOST, TCPLOCALIP, TCPLOCALPORT, TCPREMOTEHOST, TCPREMOTEINFO, TCPREMOTEIP, TCPREMOTEPORT.
HOST `0` or empty listens on every address, IPv4 and IPv6; PORT is a number or a name from services(5).

Usage: tcpserver [OPTION...] HOST PORT PROGRAM [ARGUMENT...]

    -c N      at most N connections at a time (40); more have to wait
    -C N      at most N of them from one address (IPv6: one /64); more are refused
    -x CDB    follow the rules that tcprules compiled; the file is opened anew for each connection
    -X        with -x: a missing CDB allows instead of refusing
    -B TEXT   send TEXT at once, before anything is looked up
    -u UID -g GID   become these numbers when the port is bound; -U takes them from $UID and $GID
    -h -H     do (default), do not look up the name of the client
    -p -P     do, do not (default) check that this name has the client's address
    -r -R     do, do not (default) ask the client's ident server; -t N: for at most N seconds (26)
    -l NAME   the local name, instead of looking it up
    -1        print the port number when the port is bound
    -b N      backlog (1024)
    -o -O     do, do not (default) leave IP options alone
    -d -D     do, do not (default) delay small packets
    -v -Q -q  log every connection; only what goes wrong (default); nothing

TERM ends the server and leaves the connections to their programs. Log lines (-v): `status: N/LIMIT`,
`pid N from IP`, `ok` or `deny N LOCALHOST:IP:PORT REMOTEHOST:IP:INFO:PORT`, `end N status S`, where S
is the raw wait status. A connection that no process of its own serves has a number above all pids.

Runs as: root until the port is bound, then -u and -g.
Faces: the network, without reading from it.
Exit codes: 100 usage; 111 the port or the identity is not to be had; 0 after TERM.
"""

from __future__ import annotations

import gc
import os

from qmail.formats import tcpoptions
from qmail.formats.options import Wrong
from qmail.formats.tcpenviron import Connection, environment, summary
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import execute, fds, signals, sockets
from qmail.host.acceptor import Acceptor
from qmail.host.journal import Journal
from qmail.host.loop import Loop
from qmail.host.program import say
from qmail.host.reasons import reason
from qmail.stores.rules import RulesFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.formats.tcpoptions import Settings
    from qmail.host.resident import Factory, Resident
    from qmail.host.sockets import Address, Listener

USAGE = (
    b"tcpserver: usage: tcpserver [ -1UXpPhHrRoOdDqQv ] [ -c limit ] [ -x rules.cdb ] [ -B banner ] [ -g gid ] "
    b"[ -u uid ] [ -b backlog ] [ -l localname ] [ -t timeout ] host port program"
)
DROPPING = b"tcpserver: warning: dropping connection, "
FIRST_NUMBER = 1 << 22 | 1  # above every pid of Linux
DENIED, FAILED = 100 << 8, 111 << 8  # raw wait statuses


def main(argv: list[bytes], environ: dict[bytes, bytes], resident: Factory | None = None) -> int:
    """Run as described above. `resident` may take the connections over (host.resident)."""
    fds.standard_open()
    try:
        settings, rest = tcpoptions.settings(argv[1:], environ)
    except Wrong as wrong:
        say(2, b"tcpserver: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    if len(rest) < 3:
        raise Usage(USAGE if settings.verbosity else b"")
    try:
        return _serve(settings, rest, environ, resident)
    except (Temporary, Permanent) as end:
        if settings.verbosity:
            raise
        raise Temporary(code=end.code) from None


def _serve(settings: Settings, rest: list[bytes], environ: dict[bytes, bytes], resident: Factory | None) -> int:
    arrivals = signals.catch((signals.CHLD, signals.TERM))
    signals.ignore(signals.PIPE)
    listeners = _listen(rest[0], _port(rest[1]), settings)
    _become(settings.uid, settings.gid)
    if settings.prints_port:
        say(1, b"%d\n" % sockets.plain(listeners[0].getsockname())[1])
    null = os.open(b"/dev/null", os.O_RDWR | os.O_CLOEXEC)
    fds.copy(null, 0)
    fds.copy(null, 1)
    os.close(null)
    warm = resident(rest[2:], environ) if resident is not None else None
    if warm is not None:
        warm.begin([listener.fileno() for listener in listeners])
    return Server(settings, rest[2:], environ, listeners, warm).run(arrivals)


def _port(text: bytes) -> int:
    if text.isdigit():
        return int(text) & 0xFFFF
    import _socket

    try:
        return _socket.getservbyname(os.fsdecode(text), "tcp")
    except (OSError, UnicodeError):
        raise Temporary(b"unable to figure out port number for " + text) from None


def _listen(host: bytes, port: int, settings: Settings) -> list[Listener]:
    addresses = [b"0.0.0.0", b"::"] if host in (b"", b"0") else [host.removeprefix(b"[").removesuffix(b"]")]
    try:
        listeners = sockets.listen(addresses, port, settings.backlog)
        if not settings.delays:
            for listener in listeners:
                sockets.undelayed(listener)
    except sockets.NotListening as error:
        raise Temporary(b"unable to " + error.step + b": " + reason(error)) from error
    return listeners


def _become(uid: int, gid: int) -> None:
    try:
        if gid:
            os.setgroups([gid])
            os.setgid(gid)
    except OSError as error:
        raise Temporary(b"unable to set gid: " + reason(error)) from error
    try:
        if uid:
            os.setuid(uid)
    except OSError as error:
        raise Temporary(b"unable to set uid: " + reason(error)) from error


class Server:
    """Accepts, asks the rules, hands over, counts, logs."""

    def __init__(
        self,
        settings: Settings,
        program: list[bytes],
        environ: dict[bytes, bytes],
        listeners: list[Listener],
        warm: Resident | None,
    ) -> None:
        self.settings, self.program, self.environ, self.warm = settings, program, environ, warm
        self.rules = RulesFile(settings.rules) if settings.rules is not None else None
        self.loop = Loop()
        self.acceptor = Acceptor(self.loop, listeners, settings.limit, self._arrived, self._short)
        self.local = {listener: _fixed(listener) for listener in listeners}
        self.serving: dict[int, bytes] = {}  # pid or number of each connection: its client
        self.clients: dict[bytes, int] = {}  # client: its connections
        self.number = FIRST_NUMBER
        self.watched: list[int] = []
        self.log = Journal(open=settings.verbosity > 0)
        self.ending = False

    def run(self, arrivals: int) -> int:
        """Serve until TERM."""
        gc.collect()
        gc.freeze()
        self.loop.watch(arrivals, lambda _: self._signalled(arrivals))
        self._watch_warm()
        self._status()
        while not self.ending:
            longest = self.acceptor.adjust()
            self.log.flush()
            self.loop.round(longest)
        if self.warm is not None:
            self.warm.close()
        return 0

    def _arrived(self, descriptor: int, remote: Address, listener: Listener) -> None:
        self._status()
        client = _client(remote[0])
        self.clients[client] = self.clients.get(client, 0) + 1
        try:
            local = self.local[listener] or sockets.local(descriptor)
            if not self.settings.keeps_route:
                sockets.forget_route(descriptor)
            if self.settings.banner:
                say(descriptor, self.settings.banner)
        except OSError as error:
            self._drop(descriptor, client, b"unable to get local address: " + reason(error))
            return
        self._decide(descriptor, client, Connection(local, remote, self.settings.local_host))

    def _decide(self, descriptor: int, client: bytes, connection: Connection) -> None:
        variables: list[bytes] = []
        denied = bool(self.settings.per_client and self.clients[client] > self.settings.per_client)
        if self.rules is not None:
            try:
                decision = self.rules.decide(connection.remote[0], connection.remote_host, connection.info)
                variables, denied = decision.variables, denied or decision.denied
            except OSError as error:
                if not self.settings.may_lack_rules or not isinstance(error, FileNotFoundError):
                    self._say_client(b"%d" % self.number, connection)
                    self._drop(descriptor, client, b"unable to read " + self.rules.path + b": " + reason(error))
                    return
        environ = environment(self.environ, connection)
        for variable in variables:
            name, _, value = variable.partition(b"=")
            environ[name] = value
        if denied:
            self._say_client(b"%d" % self.number, connection, b"deny")
            self._finish(descriptor, client, DENIED)
        elif self.warm is not None and self.warm.serve(descriptor, environ, self.number):
            self._say_client(b"%d" % self.number, connection, b"ok")
            self.serving[self.number] = client
            self.number += 1
            os.close(descriptor)
        else:
            self._launch(descriptor, client, connection, environ)

    def _launch(self, descriptor: int, client: bytes, connection: Connection, environ: dict[bytes, bytes]) -> None:
        try:
            pid = execute.launch(self.program, environ, descriptor, self.environ)
        except OSError as error:
            self._say_client(b"%d" % self.number, connection, b"ok")
            self._drop(descriptor, client, b"unable to run " + self.program[0] + b": " + reason(error))
        else:
            self._say_client(b"%d" % pid, connection, b"ok")
            # Said now, before the program's own words.
            self.log.flush()
            self.serving[pid] = client
            os.close(descriptor)

    def _drop(self, descriptor: int, client: bytes, text: bytes) -> None:
        self.log.add(DROPPING + text)
        self._finish(descriptor, client, FAILED)

    def _finish(self, descriptor: int, client: bytes, status: int) -> None:
        os.close(descriptor)
        self.serving[self.number] = client
        self._ended(self.number, status)
        self.number += 1

    def _ended(self, number: int, status: int) -> None:
        client = self.serving.pop(number, None)
        if client is not None:
            if self.settings.verbosity > 1:
                self.log.add(b"tcpserver: end %d status %d" % (number, status))
            self._forget(client)

    def _forget(self, client: bytes) -> None:
        self.acceptor.running -= 1
        left = self.clients[client] - 1
        if left:
            self.clients[client] = left
        else:
            del self.clients[client]
        self._status()

    def _signalled(self, arrivals: int) -> None:
        came = signals.arrived(arrivals)
        self.ending = signals.TERM in came
        if signals.CHLD not in came:
            return
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            told = self.warm.reaped(pid, status) if self.warm is not None else None
            if told is None:
                self._ended(pid, status)
            else:
                self._told(told)

    def _watch_warm(self) -> None:
        if self.warm is None:
            return
        now = list(self.warm.descriptors())
        for gone in set(self.watched).difference(now):
            self.loop.forget(gone)
        for new in set(now).difference(self.watched):
            self.loop.watch(new, lambda _, each=new: self._told(self.warm.ended(each)))  # type: ignore
        self.watched = now

    def _told(self, sessions: Sequence[tuple[int, int]]) -> None:
        for number, status in sessions:
            self._ended(number, status)
        self._watch_warm()

    def _short(self, error: OSError) -> None:
        self.log.add(DROPPING + b"unable to accept: " + reason(error))

    def _status(self) -> None:
        if self.settings.verbosity > 1:
            self.log.add(b"tcpserver: status: %d/%d" % (self.acceptor.running, self.settings.limit))

    def _say_client(self, number: bytes, connection: Connection, verdict: bytes = b"") -> None:
        if self.settings.verbosity > 1:
            self.log.add(b"tcpserver: pid %b from %b" % (number, connection.remote[0]))
            if verdict:
                self.log.add(b"tcpserver: %b %b %b" % (verdict, number, summary(connection)))


def _fixed(listener: Listener) -> Address | None:
    # The local address of every connection, where it is one.
    address = sockets.plain(listener.getsockname())
    return None if address[0] in (b"0.0.0.0", b"::") else address


def _client(address: bytes) -> bytes:
    # Who counts as one client for -C.
    return address
