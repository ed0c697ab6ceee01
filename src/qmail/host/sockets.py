"""Sockets without the interpreter's `socket` module, which costs a short-lived program 4 ms of enums.

An address is (text, port), the text as `formats.ip` and the kernel write it. Where a socket of ours is
IPv6 and its peer IPv4, the peer is written as IPv4.
"""

from __future__ import annotations

import _socket
import errno
import os
import select

from qmail.host import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Address: TypeAlias = tuple[bytes, int]

    class Listener(_socket.socket):
        """A listening socket. `_accept` gives a blocking, close-on-exec descriptor and the peer's name."""

        def _accept(self) -> tuple[int, tuple[str, int]]: ...

else:
    Listener = _socket.socket

STREAM = _socket.SOCK_STREAM
# What accept(2) says of a connection that has failed before it could be taken.
_GONE = frozenset((
    errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN,
    errno.EHOSTUNREACH, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.ENONET, errno.ETIMEDOUT,
))  # fmt: skip
_MOST_INHERITED = 1000
_LONGEST_BACKLOG = 65535  # the kernel cuts it further (listen(2))
_ADDRESS_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def family(address: bytes) -> int:
    """AF_INET6 for an address with a colon, else AF_INET."""
    return _socket.AF_INET6 if b":" in address else _socket.AF_INET


def port(text: bytes) -> int | None:
    """A port as a number (empty: 0), or by its name in services(5); None where there is no such name."""
    if not text.strip(b"0123456789"):
        return int(text[-18:] or b"0") & 0xFFFF
    try:
        return _socket.getservbyname(os.fsdecode(text), "tcp")
    except (OSError, UnicodeError, ValueError):
        return None


def tcp_socket(address: bytes) -> Listener:
    """A TCP socket of the family of this address. Raises OSError."""
    return Listener(family(address), STREAM | _socket.SOCK_CLOEXEC, 0)


def bind_reuse(listener: Listener, address: Address) -> None:
    """Bind, also where an earlier server's connections linger; an IPv6 socket leaves IPv4 alone. Raises OSError."""
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    if b":" in address[0]:
        listener.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
    listener.bind((address[0].decode(), address[1]))


class NotListening(OSError):
    """A port is not to be had. `step`: create socket, bind, listen."""

    step = b""


def listen(addresses: Sequence[bytes], port: int, backlog: int) -> list[Listener]:
    """Listen at these addresses, on one port (0: a free one). Of several, a family that is missing is left out.

    Raises NotListening.
    """
    step = b"create socket"
    listeners: list[Listener] = []
    lacking: OSError | None = None
    for address in addresses:
        try:
            step = b"create socket"
            listener = tcp_socket(address)
            step = b"bind"
            bind_reuse(listener, (address, port))
            step = b"listen"
            listener.listen(min(backlog, _LONGEST_BACKLOG))
        except OSError as error:
            lacking = NotListening(error.errno, error.strerror)
            lacking.step = step
            if error.errno in _ADDRESS_MISSING:
                continue
            raise lacking from error
        port = plain(listener.getsockname())[1]
        listeners.append(listener)
    if not listeners and lacking is not None:
        raise lacking
    return listeners


def inherited(count: int) -> list[Listener]:
    """The descriptors from 3 on, `count` of them, as listening TCP sockets (sd_listen_fds(3)). Raises OSError."""
    listeners = []
    for number in range(3, 3 + min(count, _MOST_INHERITED)):
        listener = Listener(fileno=number)
        listeners.append(listener)
        os.set_inheritable(number, False)
        listening = listener.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
        if not listening or listener.family not in (_socket.AF_INET, _socket.AF_INET6):
            raise OSError(errno.EINVAL, "no listening TCP socket")
    return listeners


def accept(listener: Listener) -> tuple[int, Address] | None:
    """The next connection of a non-blocking listener: its descriptor and its peer. None: no more for now.

    A connection that is gone already is passed over. Raises OSError where the kernel is short of something.
    """
    while True:
        try:
            descriptor, peer = listener._accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _GONE:
                raise
            continue
        return descriptor, plain(peer)


def plain(name: Sequence[str | int]) -> Address:
    """The interpreter's form of a TCP name as an Address."""
    text = str(name[0])
    if ":" in text:
        text = text.partition("%")[0]
        if text.startswith("::ffff:") and "." in text:
            text = text[7:]
    return text.encode(), int(name[1])


def local(descriptor: int) -> Address:
    """Our end of a TCP connection. Raises OSError."""
    end = _socket.socket(fileno=descriptor)
    try:
        return plain(end.getsockname())
    finally:
        end.detach()


def remote(descriptor: int) -> Address:
    """The other end of a TCP connection. Raises OSError."""
    end = _socket.socket(fileno=descriptor)
    try:
        return plain(end.getpeername())
    finally:
        end.detach()


def is_tcp(descriptor: int) -> bool:
    """Is this a TCP socket?"""
    try:
        end = _socket.socket(fileno=descriptor)
    except OSError:
        return False
    kind = end.family in (_socket.AF_INET, _socket.AF_INET6) and end.type == STREAM
    end.detach()
    return kind


def forget_route(descriptor: int) -> None:
    """Drop the IP options of a connection, so that answers do not follow the client's source route."""
    end = _socket.socket(_socket.AF_INET, STREAM, 0, fileno=descriptor)
    try:
        end.setsockopt(_socket.IPPROTO_IP, _socket.IP_OPTIONS, b"")
    except OSError:
        pass  # an IPv6 connection has none
    finally:
        end.detach()


def send_now(descriptor: int, data: bytes) -> None:
    """Send to a connection without waiting. Raises OSError, BlockingIOError where it does not take everything."""
    end = _socket.socket(_socket.AF_INET, STREAM, 0, fileno=descriptor)
    try:
        if end.send(data, _socket.MSG_DONTWAIT) < len(data):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    finally:
        end.detach()


def undelayed(end: _socket.socket) -> None:
    """Send at once what is written; on a listener: for each of its connections."""
    end.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)


def connect(address: Address, seconds: float, source: Address | None = None) -> _socket.socket:
    """A TCP connection, blocking, close-on-exec. Raises OSError, TimeoutError after `seconds`.

    `source`: our end; address b"" or port 0 leave that part to the kernel. BindFailed where it is not to be had.
    """
    end = tcp_socket(address[0])
    try:
        if source is not None and source != (b"", 0):
            _bind_source(end, address, source)
        end.setblocking(False)
        code = end.connect_ex((address[0].decode(), address[1]))
        if code == errno.EINPROGRESS:
            code = _finished(end, seconds)
        if code:
            raise OSError(code, os.strerror(code))
        end.setblocking(True)
    except BaseException:
        end.close()
        raise
    return end


class BindFailed(OSError):
    """Our end of a connection could not have the address or port that was asked for."""


def _bind_source(end: Listener, address: Address, source: Address) -> None:
    anywhere = b"::" if b":" in address[0] else b"0.0.0.0"
    try:
        bind_reuse(end, (source[0] or anywhere, source[1]))
    except OSError as error:
        raise BindFailed(error.errno, error.strerror) from error


def _finished(end: _socket.socket, seconds: float) -> int:
    # The error number of a connection attempt under way, 0 when it stands.
    if not wait(end.fileno(), select.POLLOUT, seconds):
        return errno.ETIMEDOUT
    return end.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)


def readable(descriptor: int, seconds: float) -> bool:
    """Wait until there is something to read, or the end; False after `seconds`."""
    return wait(descriptor, select.POLLIN, seconds)


def wait(descriptor: int, events: int, seconds: float) -> bool:
    """Wait until one of `events` (select.POLLIN, POLLOUT) or an error shows; False after `seconds`."""
    poll = select.poll()
    poll.register(descriptor, events)
    end = clock.monotonic() + seconds
    while not poll.poll(max(seconds * 1000, 0)):
        seconds = end - clock.monotonic()
        if seconds <= 0:
            return False
    return True
