"""Asks the name servers of this machine ($DNSCACHEIP, else /etc/resolv.conf), many questions at a time.

Every question has a socket with a random port of its own and a random number, by UDP first, by TCP
where the reply is cut. All of it together ends within LIMIT seconds.

What a validating server vouches for (the AD bit, RFC 4035 3.2.3) is believed of a server on this machine, and of those
in a resolv.conf that says `options trust-ad` (resolv.conf(5)): anybody on the way to another one could set that bit.
"""

from __future__ import annotations

import _socket
import os
import time
from functools import partial

from qmail.host import connect
from qmail.host.loop import GONE, READ, WRITE, Loop
from qmail.protocols import dnsquery, dnswire
from qmail.protocols.dnsquery import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Done = Callable[[Answer, int], None]

LIMIT = 24.0  # seconds for one question
PATIENCE = (1.0, 3.0, 8.0, 12.0)  # seconds for a server to answer, in each round through the list
TROUBLE_KEPT = 5  # seconds during which trouble need not be looked into again
MOST_SERVERS = 16
PORT = 53
RELAY = b"\x7f\0\0\x0b"  # 127.0.0.11, which Docker has in containers: hands on what servers elsewhere say, AD too
_LONGEST = 65535


class Server:
    """A name server: packed address and port. `trusted`: what it vouches for is believed."""

    __slots__ = ("address", "port", "trusted")

    def __init__(self, address: bytes, port: int = PORT, trusted: bool = False) -> None:
        self.address, self.port = address, port
        here = address[:1] == b"\x7f" or address == bytes(15) + b"\1"
        self.trusted = trusted or (here and address != RELAY)

    def socket(self, kind: int) -> _socket.socket:
        """A non-blocking socket to it, connected or connecting. Raises OSError."""
        family = _socket.AF_INET if len(self.address) == 4 else _socket.AF_INET6
        socket = _socket.socket(family, kind | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        try:
            socket.connect((_socket.inet_ntop(family, self.address), self.port))
        except BlockingIOError:
            pass
        except OSError:
            socket.close()
            raise
        return socket


def servers(environ: Mapping[bytes, bytes]) -> list[Server]:
    """The servers to ask, in order: $DNSCACHEIP (blanks between several, @PORT behind one that listens
    elsewhere), else the nameserver lines of /etc/resolv.conf, else this machine."""
    words, trusted = environ.get(b"DNSCACHEIP", b"").split(), False
    if not words:
        try:
            with open("/etc/resolv.conf", "rb") as file:
                lines = [line.split() for line in file.read(65536).split(b"\n")]
            words = [line[1] for line in lines if len(line) > 1 and line[0] == b"nameserver"]
            trusted = any(line[:1] == [b"options"] and b"trust-ad" in line for line in lines)
        except OSError:
            pass
    found = [server for word in words if (server := _server(word, trusted)) is not None]
    return found[:MOST_SERVERS] or [Server(b"\x7f\0\0\1")]


def _server(word: bytes, trusted: bool) -> Server | None:
    text, _, port = word.partition(b"@")
    address = connect.packed(text.partition(b"%")[0])
    if address is None or (port and not (port.isdigit() and len(port) < 6)):
        return None
    return Server(address, int(port or PORT), trusted)


def ask(questions: Sequence[tuple[bytes, bytes]], environ: Mapping[bytes, bytes]) -> list[Answer]:
    """The answers to these (kind, name), all asked at once, in their order."""
    loop = Loop()
    resolver = Resolver(loop, servers(environ))
    found: dict[int, Answer] = {}
    for i, (kind, name) in enumerate(questions):
        resolver.ask(kind, name, partial(_keep, found, i))
    while len(found) < len(questions):
        rest = resolver.tick()
        if len(resolver):  # else the last one has just been given up
            loop.round(rest)
    loop.close()
    return [found[i] for i in range(len(questions))]


def _keep(found: dict[int, Answer], i: int, answer: Answer, _seconds: int) -> None:
    found[i] = answer


class Resolver:
    """Questions under way in a loop. `tick` must be called before each round."""

    def __init__(self, loop: Loop, servers: Sequence[Server]) -> None:
        self.loop, self.servers = loop, servers
        self._lookups: dict[_Lookup, None] = {}

    def __len__(self) -> int:
        return len(self._lookups)

    def ask(self, kind: bytes, name: bytes, done: Done) -> None:
        """Find out; `done` gets the answer and for how many seconds it holds, now or from the loop."""
        try:
            question = dnswire.Question(kind, name)
        except dnswire.Impossible:
            done(Answer(dnsquery.NAMELESS), 0)
            return
        lookup = _Lookup(self, question, done)
        self._lookups[lookup] = None
        lookup.next()

    def tick(self) -> float | None:
        """Give up waiting where it has been too long; seconds until the next time, or None."""
        now = time.monotonic()
        for lookup in [each for each in self._lookups if each.until <= now]:
            lookup.next()
        return max(min((each.until for each in self._lookups), default=now) - now, 0) if self._lookups else None

    def finished(self, lookup: _Lookup) -> None:
        """One question less."""
        del self._lookups[lookup]


class _Lookup:
    """One question, on its way from server to server."""

    def __init__(self, resolver: Resolver, question: dnswire.Question, done: Done) -> None:
        self._resolver, self._question, self._done = resolver, question, done
        self._plan = [(server, seconds) for seconds in PATIENCE for server in resolver.servers]
        self._plain: set[Server] = set()  # want no extensions
        self._failed: set[Server] = set()
        self._end = time.monotonic() + LIMIT
        self._socket: _socket.socket | None = None
        self._server = resolver.servers[0]
        self._buffer = b""
        self.until = self._end

    def next(self) -> None:
        """Ask the next server of the plan that has not failed yet."""
        self._close()
        while self._plan and time.monotonic() < self._end:
            server, seconds = self._plan.pop(0)
            if server not in self._failed and self._put(server, seconds):
                return
        self._finish(Answer(dnsquery.TROUBLE), TROUBLE_KEPT)

    def _put(self, server: Server, seconds: float) -> bool:
        """Ask this server by UDP."""
        self._server = server
        self.until = min(time.monotonic() + seconds, self._end)
        try:
            self._socket = server.socket(_socket.SOCK_DGRAM)
            self._socket.send(self._wire())
        except OSError:
            self._failed.add(server)
            self._close()
            return False
        self._resolver.loop.watch(self._socket.fileno(), lambda _events: self._heard())
        return True

    def _wire(self) -> bytes:
        identity = int.from_bytes(os.urandom(2), "big")
        return self._question.wire(identity, extended=self._server not in self._plain)

    def _heard(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            self._fail()
            return
        self._read(data, whole=False)

    def _read(self, data: bytes, *, whole: bool) -> None:
        try:
            found = self._question.answer(data, whole=whole, trusted=self._server.trusted)
        except dnswire.Elsewhere:
            return
        except dnswire.Truncated:
            self._again(whole=True)
        except dnswire.Plainer:
            self._plain.add(self._server)
            self._again(whole=False)
        except dnswire.Failed:
            self._fail()
        else:
            if found is None:
                self._again(whole=False)
            else:
                self._finish(*found)

    def _again(self, *, whole: bool) -> None:
        """Put the question once more to the same server, `whole` by TCP."""
        self._close()
        if not whole:
            if not self._put(self._server, self.until - time.monotonic()):
                self.next()
            return
        try:
            self._socket = self._server.socket(_socket.SOCK_STREAM)
        except OSError:
            self._fail()
            return
        self.until = self._end
        self._buffer = b""
        self._resolver.loop.watch(self._socket.fileno(), self._writable, WRITE)

    def _writable(self, events: int) -> None:
        assert self._socket is not None
        wire = self._wire()
        try:
            if events & GONE:
                raise ConnectionRefusedError
            # A question is far smaller than what an empty connection takes.
            self._socket.send(len(wire).to_bytes(2, "big") + wire)
        except OSError:
            self._fail()
            return
        self._resolver.loop.watch(self._socket.fileno(), lambda _events: self._readable(), READ)

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(_LONGEST + 2)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buffer += data
        size = int.from_bytes(self._buffer[:2], "big")
        if len(self._buffer) >= 2 + size and len(self._buffer) > 2:
            self._read(self._buffer[2 : 2 + size], whole=True)
        elif not data:
            self._fail()

    def _fail(self) -> None:
        self._failed.add(self._server)
        self.next()

    def _finish(self, answer: Answer, seconds: int) -> None:
        self._close()
        self._resolver.finished(self)
        self._done(answer, seconds)

    def _close(self) -> None:
        if self._socket is not None:
            self._resolver.loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
