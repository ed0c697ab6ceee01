"""qmail-dns: answers names, addresses and mail exchangers for the other programs.

It is the only resident program with the DNS library, and remembers answers for
all.

Usage: qmail-dns [-i SECONDS]

    exec setuidgid qmailr qmail-dns          # a run script; it need not be a service

    -i SECONDS  end after so long without a question

qmail-rspawn and tcpserver start one where none runs.

Behaviour:
Listens at qr/dns (with -i: at the socket on descriptor 0), asks the name
servers of $DNSCACHEIP, else /etc/resolv.conf, and remembers what they say as
long as it holds. A second qmail-dns for the same home exits 111.

What a name server vouches for, having validated it (DNSSEC), is told on: of a
server on this machine (127.0.0.0/8, ::1), and of those in a resolv.conf that
says `options trust-ad`. Others are not believed, since anybody on the way could
say so in their place; nor is 127.0.0.11, by which Docker leads out of its
containers. qmail-remote needs this for DANE.

Environment: DNSCACHEIP: addresses of name servers, `ADDRESS@PORT` for other
ports.
Files: QMAIL_HOME/qr/dns; /etc/resolv.conf.
Runs as: qmailr.
Faces: name servers, and questions of every local user; each user but qmail's
own has a share.
Exit codes: 0 idle; 100 usage; 111 another one runs, or the socket cannot be
    made.
"""

from __future__ import annotations

import gc
import os
import pwd
from collections import deque
from functools import partial

from qmail.host import fds, sandbox, title
from qmail.host.clock import monotonic
from qmail.host.localsocket import STREAM
from qmail.host.loop import READ, WRITE, Loop
from qmail.protocols import dnsquery
from qmail.protocols.dnsquery import Answer
from qmail.stores import confinement, home, listening, names
from qmail.stores.resolver import Resolver, servers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.host.localsocket import Listener, Peer

    Key = tuple[bytes, bytes]

USAGE = b"qmail-dns: usage: qmail-dns [ -i seconds ]"
MOST_CLIENTS = 1200
MOST_LOOKUPS = 400  # under way at once
MOST_WAITING = 4000  # questions that wait for that
SHARE = 100  # clients, and unanswered questions, of a user who is not one of ours
MOST_ASKED = 1000  # unanswered questions of one client
MOST_UNREAD = 1024 * 1024  # bytes of answers that a client leaves unread
MOST_KEPT = 20_000  # answers in the cache
MOST_BYTES = 8 * 1024 * 1024  # of answers in the cache
REREAD = 10.0  # seconds between looks at the list of name servers
_OURS = ("root", "qmaild", "qmailr", "qmails", "qmailq")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    idle = listening.idle(argv[1:], USAGE)
    where = home.find(argv[0], environ)
    listener = listening.begin(where, b"qmail-dns", names.LOCK, names.SOCKET, names.MODE, STREAM)
    fds.most()
    title.show(b"qmail-dns")
    gc.freeze()
    service = Service(listener, environ, _our_users())
    sandbox.enter(confinement.names())
    service.run(idle)
    return 0


def _our_users() -> frozenset[int]:
    found = {os.geteuid()}
    for name in _OURS:
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            pass  # single-user mode
    return frozenset(found)


class Cache:
    """What is known, until it no longer holds; bounded in number and size, the oldest goes first."""

    def __init__(self, most: int = MOST_KEPT, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: dict[Key, tuple[float, bytes]] = {}
        self._bytes = 0

    def find(self, key: Key, now: float) -> bytes | None:
        """The body of an answer that still holds."""
        until, body = self._kept.get(key, (0.0, b""))
        if until > now:
            return body
        self._drop(key)
        return None

    def keep(self, key: Key, body: bytes, until: float) -> None:
        """Remember an answer."""
        self._drop(key)
        self._kept[key] = (until, body)
        self._bytes += len(body)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept[1])


class Client:
    """One connection: what it asked, and what it has not read yet."""

    __slots__ = ("asked", "descriptor", "gone", "reader", "uid", "unread")

    def __init__(self, peer: Peer) -> None:
        self.descriptor, self.uid = peer.descriptor, peer.uid
        self.reader = dnsquery.Questions()
        self.unread = b""
        self.asked = 0
        self.gone = False


class Service:
    """The loop: questions in, lookups, answers out."""

    def __init__(self, listener: Listener, environ: Mapping[bytes, bytes], ours: frozenset[int]) -> None:
        self._listener, self._environ, self._ours = listener, environ, ours
        self._loop = Loop()
        self._resolver = Resolver(self._loop, servers(environ))
        self._cache = Cache()
        self._clients: set[Client] = set()
        self._asking: dict[Key, list[tuple[Client, int]]] = {}  # under way or waiting, and who wants to know
        self._waiting: deque[Key] = deque()
        self._used: dict[int, int] = {}  # unanswered questions of each user
        self._reread = self._active = monotonic()
        self._full = False  # did the system have no descriptor for a client?

    def run(self, idle: float | None) -> None:
        """For ever, or until nobody has asked for `idle` seconds."""
        while True:
            self._loop.watch(self._listener.fileno(), lambda _events: self._accept())
            self._look_up()
            rest = self._resolver.tick()
            if idle is not None and not self._asking:
                left = self._active + idle - monotonic()
                if left <= 0:
                    return
                rest = left
            if self._full:
                rest = min(rest or 1.0, 1.0)
            if self._waiting and len(self._resolver) < MOST_LOOKUPS:
                rest = 0.0  # some have just been given up, and make room
            self._loop.round(rest)

    def _accept(self) -> None:
        self._full = False
        try:
            peer = self._listener.accept()
        except OSError:
            # No descriptors: those who knock wait a second.
            self._full = True
            self._loop.forget(self._listener.fileno())
            return
        if peer is None:
            return
        theirs = sum(client.uid == peer.uid for client in self._clients)
        if len(self._clients) >= MOST_CLIENTS or (peer.uid not in self._ours and theirs >= SHARE):
            os.close(peer.descriptor)
            return
        client = Client(peer)
        self._clients.add(client)
        self._loop.watch(client.descriptor, lambda _events: self._questions(client), READ)

    def _questions(self, client: Client) -> None:
        try:
            data = os.read(client.descriptor, 16384)
            asked = client.reader.feed(data)
        except BlockingIOError:
            return
        except (OSError, dnsquery.Broken):
            data = b""
        if not data or client.asked + len(asked) > MOST_ASKED:
            self._drop(client)
            return
        self._active = monotonic()
        for tag, kind, name in asked:
            key = (kind, name if kind == dnsquery.POINTERS else name.lower())
            body = self._cache.find(key, self._active)
            if body is not None:
                self._tell(client, tag, body)
            else:
                self._ask(client, tag, key)

    def _ask(self, client: Client, tag: int, key: Key) -> None:
        used = self._used.get(client.uid, 0)
        if len(self._waiting) >= MOST_WAITING or (client.uid not in self._ours and used >= SHARE):
            self._tell(client, tag, dnsquery.body(Answer(dnsquery.TROUBLE)))
            return
        client.asked += 1
        self._used[client.uid] = used + 1
        wanting = self._asking.setdefault(key, [])
        wanting.append((client, tag))
        if len(wanting) == 1:
            self._waiting.append(key)

    def _look_up(self) -> None:
        if monotonic() > self._reread + REREAD:
            self._reread = monotonic()
            self._resolver.servers = servers(self._environ)
        while self._waiting and len(self._resolver) < MOST_LOOKUPS:
            key = self._waiting.popleft()
            self._resolver.ask(*key, partial(self._answered, key))

    def _answered(self, key: Key, answer: Answer, seconds: int) -> None:
        body = dnsquery.body(answer)
        if seconds:
            self._cache.keep(key, body, monotonic() + seconds)
        for client, tag in self._asking.pop(key):
            client.asked -= 1
            self._used[client.uid] -= 1
            if not self._used[client.uid]:
                del self._used[client.uid]
            self._tell(client, tag, body)

    def _tell(self, client: Client, tag: int, body: bytes) -> None:
        if client.gone:
            return
        waiting = bool(client.unread)
        client.unread += dnsquery.framed(tag, body)
        if len(client.unread) > MOST_UNREAD:
            self._drop(client)
        elif not waiting:
            self._write(client)

    def _write(self, client: Client) -> None:
        try:
            client.unread = client.unread[os.write(client.descriptor, client.unread) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)
            return
        if client.unread:
            # Nothing more is read from who does not read.
            self._loop.watch(client.descriptor, lambda _events: self._unread(client), WRITE)

    def _unread(self, client: Client) -> None:
        self._write(client)
        if not client.unread and not client.gone:
            self._loop.watch(client.descriptor, lambda _events: self._questions(client), READ)

    def _drop(self, client: Client) -> None:
        if not client.gone:
            client.gone = True
            self._clients.discard(client)
            self._loop.forget(client.descriptor)
            os.close(client.descriptor)
