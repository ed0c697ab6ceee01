"""TCP connections to other hosts, with time limits kept by the kernel.

`_socket` is the interpreter's own module; `socket` wraps it in enums and a selector, which costs a
short-lived program a third of its start-up.
"""

from __future__ import annotations

import _socket
import errno
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEAD_START = 1.0  # seconds an address has before the next one is tried beside it
MOMENT = 50_000  # microseconds after which a wait is called slow
CHUNK = 4096  # bytes taken at once; what servers say is short
_IP_BIND_ADDRESS_NO_PORT = 24


class Attempt:
    """What came of some addresses: the connection and its address, and those that gave no answer in time."""

    __slots__ = ("address", "connection", "silent")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.address = b""
        self.silent: list[bytes] = []


class Unbindable(OSError):
    """Our end of a connection cannot have the packed `address` that was asked for."""

    def __init__(self, error: OSError, address: bytes) -> None:
        super().__init__(error.errno, error.strerror)
        self.address = address


class Connection:
    """A connected socket. Every call ends within the time limit; what goes wrong is an OSError."""

    def __init__(self, socket: _socket.socket, seconds: int) -> None:
        self._socket = socket
        self._limit = _timeval(max(seconds, 1), 0)
        self._slow: Callable[[], None] | None = None
        socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, self._limit)
        socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, self._limit)
        if socket.family != _socket.AF_UNIX:
            socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)

    def tell_when_slow(self, slow: Callable[[], None]) -> None:
        """Call `slow` once, when something has not come within a moment."""
        if self._slow is None:
            self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, _timeval(0, MOMENT))
        self._slow = slow

    def fileno(self) -> int:
        """The descriptor, for polling."""
        return self._socket.fileno()

    def ours(self) -> bytes:
        """The address that this machine has in it, as people write it; b"" where there is none any more."""
        try:
            return str(self._socket.getsockname()[0]).encode()
        except (OSError, LookupError):
            return b""

    def send(self, data: bytes) -> None:
        """Write all of it."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """What has come, at least one byte. ConnectionResetError at the end."""
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            if self._slow is None:
                raise
            slow, self._slow = self._slow, None
            self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, self._limit)
            slow()
            data = self._socket.recv(CHUNK)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the other side has closed")
        return data

    def close(self) -> None:
        """Let go; whatever was written is still sent."""
        self._socket.close()


def _timeval(seconds: int, microseconds: int) -> bytes:
    return seconds.to_bytes(8, "little") + microseconds.to_bytes(8, "little")


def text(address: bytes) -> bytes:
    """A packed address as people write it."""
    family = _socket.AF_INET if len(address) == 4 else _socket.AF_INET6
    return _socket.inet_ntop(family, address).encode()


def packed(text: bytes) -> bytes | None:
    """The packed form of an IPv4 or IPv6 address, or None where the text is none."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            return _socket.inet_pton(family, text.decode("ascii"))
        except (OSError, ValueError):
            continue
    return None


def anywhere(_address: bytes) -> bytes | None:
    """Our end of a connection has whatever address the system gives it."""
    return None


def connect(
    addresses: Iterable[bytes],
    port: int,
    seconds: int,
    patience: int,
    source: Callable[[bytes], bytes | None] = anywhere,
) -> Attempt:
    """Connect to the first of these addresses (of one host) that answers.

    Each has `seconds`; after HEAD_START, or its failure, the next one is tried beside it (RFC 8305).
    `patience`: the time limit of each later call on the connection. `source`: which packed address our end is to
    have where the other one has this; None, or one of nothing but zeros: as the system will. Raises Unbindable where
    it cannot have it, and OSError where the system gives no socket at all.
    """
    attempt, waiting = Attempt(), list(addresses)
    trying: dict[int, tuple[_socket.socket, bytes, float]] = {}
    poll = select.poll()
    while waiting or trying:
        if waiting:
            address = waiting.pop(0)
            _start(address, port, seconds, source(address), trying, poll)
        now = time.monotonic()
        until = min([end for _, _, end in trying.values()] + ([now + HEAD_START] if waiting else []), default=now)
        connected = _first(trying, poll, until, bool(waiting), attempt)
        if connected is not None:
            for other, _, _ in trying.values():
                other.close()
            connected.setblocking(True)
            attempt.connection = Connection(connected, patience)
            break
    return attempt


def local(path: bytes, seconds: int) -> Connection:
    """Connect to the stream socket at `path`; `seconds`: the time limit of this and each later call. Raises OSError."""
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection = Connection(socket, seconds)
        socket.connect(path)
    except OSError:
        socket.close()
        raise
    return connection


def _start(
    address: bytes,
    port: int,
    seconds: int,
    source: bytes | None,
    trying: dict[int, tuple[_socket.socket, bytes, float]],
    poll: select.poll,
) -> None:
    family = _socket.AF_INET if len(address) == 4 else _socket.AF_INET6
    try:
        socket = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return
        raise
    if source is not None and any(source):
        _bind(socket, source)
    try:
        socket.connect((_socket.inet_ntop(family, address), port))
    except BlockingIOError:
        pass
    except (OSError, OverflowError):
        socket.close()
        return
    trying[socket.fileno()] = (socket, address, time.monotonic() + max(seconds, 1))
    poll.register(socket.fileno(), select.POLLOUT)


def _bind(socket: _socket.socket, source: bytes) -> None:
    try:
        # The port is chosen when it is known where the connection leads: there are enough for each destination.
        socket.setsockopt(_socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        socket.bind((text(source).decode(), 0))
    except OSError as error:
        socket.close()
        raise Unbindable(error, source) from error


def _first(
    trying: dict[int, tuple[_socket.socket, bytes, float]],
    poll: select.poll,
    until: float,
    more: bool,
    attempt: Attempt,
) -> _socket.socket | None:
    """Wait until one is connected (and return it), one has failed while `more` wait, none is left, or the time."""
    while trying:
        left = until - time.monotonic()
        for descriptor, _ in poll.poll(max(left * 1000, 0)):
            socket, address, _ = trying.pop(descriptor)
            poll.unregister(descriptor)
            error = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if not error:
                attempt.address = address
                return socket
            if error == errno.ETIMEDOUT:
                attempt.silent.append(address)
            socket.close()
            if more:
                return None
        now = time.monotonic()
        for descriptor, (socket, address, end) in list(trying.items()):
            if end <= now:
                attempt.silent.append(address)
                poll.unregister(descriptor)
                socket.close()
                del trying[descriptor]
        if now >= until:
            return None
    return None
