"""Who is calling: what a server finds out about a connection before it decides, while others go on.

The header of a listed proxy first; then, side by side, the names of both ends by DNS and the user by ident.
Nothing here waits: the answers come through the server's loop, each with a time limit.
"""

from __future__ import annotations

import _socket

from qmail.formats import ip
from qmail.host import clock, connect, sockets
from qmail.host.loop import READ, WRITE
from qmail.protocols import ident, proxy
from qmail.protocols.dnsquery import ADDRESSES4, ADDRESSES6, POINTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.formats.tcpenviron import Connection
    from qmail.formats.tcpoptions import Settings
    from qmail.host.loop import Loop
    from qmail.protocols.dnsquery import Answer
    from qmail.stores.lookups import Lookups

    Done = Callable[[int, Connection, bytes], None]

HEADER_PATIENCE = 5.0  # seconds for a proxy's header
NAMES_PATIENCE = 60.0  # seconds for all names of a connection
LOCAL_KEPT, LOCAL_MOST = 60.0, 64  # seconds that the name of one of our addresses is remembered; how many


class Callers:
    """The connections of which something is still to be found out."""

    def __init__(self, loop: Loop, settings: Settings, lookups: Lookups | None, done: Done) -> None:
        self.loop, self.settings, self.lookups, self.done = loop, settings, lookups, done
        self.networks = [network for peer in settings.proxies if (network := ip.network(peer)) is not None]
        self.meeting: set[_Caller] = set()
        self._local: dict[bytes, tuple[bytes | None, float]] = {}

    def meet(self, descriptor: int, connection: Connection) -> None:
        """Find out; `done(descriptor, connection, problem)` follows. `problem`: why it is to be dropped, or empty."""
        caller = _Caller(self, descriptor, connection)
        self.meeting.add(caller)
        caller.begin(_listed(connection.remote[0], self.networks))

    def tick(self) -> float | None:
        """Give up where it has been too long; seconds until the next time, or None."""
        now = clock.monotonic()
        for caller in [each for each in self.meeting if each.until <= now]:
            caller.give_up()
        return max(min((each.until for each in self.meeting), default=now) - now, 0.0) if self.meeting else None

    def local_host(self, address: bytes, done: Callable[[bytes | None], None]) -> None:
        """The name of one of our own addresses."""
        known = self._local.get(address)
        if known is not None and known[1] > clock.monotonic():
            done(known[0])
            return

        def answered(answer: Answer) -> None:
            name = answer.records[0] if answer.records else None
            if len(self._local) >= LOCAL_MOST:
                self._local.clear()
            self._local[address] = name, clock.monotonic() + LOCAL_KEPT
            done(name)

        self.ask(POINTERS, address, answered)

    def ask(self, kind: bytes, name: bytes, done: Callable[[Answer], None]) -> None:
        """Ask for a name, or for the names of an address."""
        packed = connect.packed(name) if kind == POINTERS else name
        assert self.lookups is not None
        self.lookups.ask(kind, packed or b"", done)


class _Caller:
    """One connection, until everything is known."""

    def __init__(self, callers: Callers, descriptor: int, connection: Connection) -> None:
        self.callers, self.descriptor, self.connection = callers, descriptor, connection
        self.until = clock.monotonic() + HEADER_PATIENCE
        self._header: proxy.Header | None = None
        self._open = 0  # things not known yet
        self._ident: _socket.socket | None = None
        self._reply = b""
        self._over = False

    def begin(self, from_proxy: bool) -> None:
        """Start with the header where the other end is a listed proxy."""
        if not from_proxy:
            self._inquire()
            return
        self._header = proxy.Header()
        self.callers.loop.watch(self.descriptor, lambda _: self._read_header())

    def _read_header(self) -> None:
        end = _socket.socket(fileno=self.descriptor)
        try:
            seen = end.recv(proxy.LONGEST_BLOCK, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
            if not seen:
                raise proxy.Malformed("none")
            assert self._header is not None
            end.recv(self._header.feed(seen))
        except BlockingIOError:
            return
        except (OSError, proxy.Malformed):
            self._finish(b"no PROXY header from " + self.connection.remote[0])
            return
        finally:
            end.detach()
        if self._header.done:
            self.callers.loop.forget(self.descriptor)
            if self._header.ends is not None:
                self.connection.remote, self.connection.local = self._header.ends
            self._header = None
            self._inquire()

    def _inquire(self) -> None:
        settings, connection = self.callers.settings, self.connection
        self.until = clock.monotonic() + NAMES_PATIENCE
        self._open = 1  # until all questions are out
        if settings.asks_info:
            self._open += 1
            self.until = min(self.until, clock.monotonic() + settings.patience)
            self._ask_ident()
        if connection.local_host is None:
            self._open += 1
            self.callers.local_host(connection.local[0], self._local_known)
        if settings.asks_host:
            self._open += 1
            self.callers.ask(POINTERS, connection.remote[0], self._remote_known)
        self._one_known()

    def _local_known(self, name: bytes | None) -> None:
        self.connection.local_host = name
        self._one_known()

    def _remote_known(self, answer: Answer) -> None:
        if not answer.records:
            self._one_known()
            return
        name = answer.records[0]
        if not self.callers.settings.paranoid:
            self.connection.remote_host = name
            self._one_known()
            return
        address = self.connection.remote[0]

        def addresses_known(addresses: Answer) -> None:
            if connect.packed(address) in addresses.records:
                self.connection.remote_host = name
            self._one_known()

        self.callers.ask(ADDRESSES6 if b":" in address else ADDRESSES4, name, addresses_known)

    def _ask_ident(self) -> None:
        connection = self.connection
        try:
            asking = sockets.tcp_socket(connection.remote[0])
            self._ident = asking
            asking.setblocking(False)
            sockets.bind_reuse(asking, (connection.local[0], 0))
            asking.connect((connection.remote[0].decode(), ident.PORT))
        except BlockingIOError:
            pass
        except OSError:
            self._ident_known(None)
            return
        self.callers.loop.watch(asking.fileno(), lambda _: self._put_question(), WRITE)

    def _put_question(self) -> None:
        assert self._ident is not None
        try:
            self._ident.send(ident.question(self.connection.remote[1], self.connection.local[1]))
        except OSError:
            self._ident_known(None)
            return
        self.callers.loop.watch(self._ident.fileno(), lambda _: self._read_reply(), READ)

    def _read_reply(self) -> None:
        assert self._ident is not None
        try:
            data = self._ident.recv(ident.LONGEST_REPLY)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._reply += data
        user = ident.user(self._reply)
        if user is not None or not data:
            self._ident_known(user)

    def _ident_known(self, user: bytes | None) -> None:
        self._close_ident()
        self.connection.info = user
        self._one_known()

    def _close_ident(self) -> None:
        if self._ident is not None:
            self.callers.loop.forget(self._ident.fileno())
            self._ident.close()
            self._ident = None

    def _one_known(self) -> None:
        self._open -= 1
        if not self._open and not self._over:
            self._finish(b"")

    def give_up(self) -> None:
        """The time is over: a missing header drops the connection, a missing answer is not known."""
        if self._header is not None:
            self._finish(b"no PROXY header from " + self.connection.remote[0])
        elif self._ident is not None:
            self.until = clock.monotonic() + NAMES_PATIENCE
            self._ident_known(None)
        else:
            self._finish(b"")

    def _finish(self, problem: bytes) -> None:
        self._over = True
        if self._header is not None:
            self.callers.loop.forget(self.descriptor)
        self._close_ident()
        self.callers.meeting.discard(self)
        self.callers.done(self.descriptor, self.connection, problem)


def _listed(address: bytes, networks: Sequence[tuple[int, int, int]]) -> bool:
    if not networks:
        return False
    one = ip.network(address)
    return one is not None and any(
        one[0] == bits and one[1] >> (bits - length) == first >> (bits - length) for bits, first, length in networks
    )
