"""Calling a TCP server by its name, as tcpclient does: every address of the host is tried, failures are told.

Two rounds: each address has the first time limit, then those that gave no answer have the second. IPv6
addresses are asked for, and tried, when no IPv4 address answers.
"""

from __future__ import annotations

import _socket

from qmail.formats.carriage import Removed, visible
from qmail.formats.tcpenviron import Connection
from qmail.formats.tcpoptions import number
from qmail.formats.verdict import SUCCESS, Temporary
from qmail.host import clock, fds, sockets
from qmail.host.program import line, say
from qmail.host.reasons import reason
from qmail.protocols import ident
from qmail.protocols.dnsquery import ADDRESSES4, ADDRESSES6
from qmail.stores import hosts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qmail.host.sockets import Address
    from qmail.stores.hosts import Ask

NAME = b"tcpclient: "  # in whose name the failures are told
PATIENCE = (2, 58)  # seconds for an address, in the first and the second round


class Call:
    """How to call. `source`: our own end, address b"" and port 0 for any. `verbosity`: 0 nothing, 1 failures, 2 all."""

    def __init__(self) -> None:
        self.patience = PATIENCE
        self.source: Address = (b"", 0)
        self.verbosity = 1

    def dial(
        self, host: bytes, port: bytes, ask: Ask, environ: Mapping[bytes, bytes]
    ) -> tuple[_socket.socket, Connection]:
        """The connection, a blocking socket. Raises Temporary, which says what is left to be said."""
        host = b"127.0.0.1" if host in (b"", b"0") else host
        remote_port = sockets.port(port)
        if remote_port is None:
            raise self.fatal(b"unable to figure out port number for " + port)
        known = False
        for kind in (ADDRESSES4, ADDRESSES6):
            try:
                addresses = hosts.of_kind(host, kind, ask, environ)
            except Temporary as end:
                raise self.fatal(end.text) from None
            known = known or bool(addresses)
            socket = self._first([(address, remote_port) for address in addresses])
            if socket is not None:
                local, remote = sockets.plain(socket.getsockname()), sockets.plain(socket.getpeername())
                if self.verbosity > 1:
                    say(2, line(NAME + b"connected to %b port %d" % remote))
                return socket, Connection(local, remote)
        raise Temporary if known else self.fatal(b"no IP address for " + host)

    def fatal(self, text: bytes) -> Temporary:
        """What to raise, silent where nothing is to be said."""
        return Temporary(NAME + b"fatal: " + text if self.verbosity else b"", plain=True)

    def _first(self, addresses: list[Address]) -> _socket.socket | None:
        first, second = self.patience
        if len(addresses) == 1:
            first, second = first + second, 0
        slow: list[Address] = []
        for address in addresses:
            end = self._try(address, first, slow if second else None)
            if end is not None:
                return end
        for address in slow:
            end = self._try(address, second, None)
            if end is not None:
                return end
        return None

    def _try(self, address: Address, seconds: int, slow: list[Address] | None) -> _socket.socket | None:
        try:
            return sockets.connect(address, seconds, self.source)
        except sockets.BindFailed as error:
            raise self.fatal(b"unable to bind socket: " + reason(error)) from error
        except TimeoutError as error:
            if slow is not None:
                slow.append(address)
                return None
            why = reason(error)
        except OSError as error:
            why = reason(error)
        if self.verbosity:
            say(2, line(NAME + b"unable to connect to %b port %d: %b" % (*address, why)))
        return None


def reach(host: bytes, port: bytes, argv0: bytes, environ: Mapping[bytes, bytes]) -> int:
    """A descriptor connected to this host. Raises Temporary, when the failures were told."""
    return Call().dial(host, port, hosts.asker(argv0, environ), environ)[0].detach()


def fetch(
    host: bytes, port: bytes, argv0: bytes, environ: Mapping[bytes, bytes], question: bytes = b""
) -> Iterator[bytes]:
    """What a server says to a question until it hangs up, CRs at line ends taken out. Nothing where it is not there."""
    try:
        descriptor = reach(host, port, argv0, environ)
    except Temporary as end:
        if end.text:
            say(2, line(end.text))
        return
    change = Removed()
    try:
        fds.write_all(descriptor, question.replace(b"\n", b"\r\n"))
        for piece in fds.chunks(descriptor):
            yield change.feed(piece)
    except OSError:
        pass  # it hung up on us
    yield change.end()


def show(host: bytes, port: bytes, argv0: bytes, environ: Mapping[bytes, bytes], question: bytes = b"") -> int:
    """Print what a server says to a question, as a person can read it. The exit code: 0 whatever comes of it."""
    fds.standard_open()
    for piece in fetch(host, port, argv0, environ, question):
        say(1, visible(piece))
    return SUCCESS


def patience(text: bytes) -> tuple[int, int]:
    """The time limits in `X+Y`, in seconds; without `+Y` there is no second round."""
    first, _, second = text.partition(b"+")
    return number(first), number(second)


def user(connection: Connection, seconds: int) -> bytes | None:
    """Who owns the other end, by ident (RFC 1413), or None."""
    until = clock.monotonic() + seconds
    try:
        asking = sockets.connect((connection.remote[0], ident.PORT), seconds, (connection.local[0], 0))
        asking.sendall(ident.question(connection.remote[1], connection.local[1]))
        reply = b""
        while sockets.readable(asking.fileno(), until - clock.monotonic()):
            data = asking.recv(ident.LONGEST_REPLY)
            reply += data
            found = ident.user(reply)
            if found is not None or not data:
                return found
    except OSError:
        pass
    return None
