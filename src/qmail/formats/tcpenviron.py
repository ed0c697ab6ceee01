"""A TCP connection as environment variables (tcp-environ(5)) and as tcpserver's log lines."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Address = tuple[bytes, int]

_UNSAFE = bytes(byte for byte in range(256) if byte < 33 or byte > 126 or byte in b"%:")
_SAFE = bytes.maketrans(_UNSAFE, b"?" * len(_UNSAFE))


class Connection:
    """Both ends of a connection and what is known of them. None: not known, which is not the same as empty.

    `local`, `remote`: (address, port). `info`: what the client's ident server says (RFC 1413).
    """

    __slots__ = ("info", "local", "local_host", "remote", "remote_host")

    def __init__(self, local: Address, remote: Address, local_host: bytes | None = None) -> None:
        self.local, self.remote, self.local_host = local, remote, local_host
        self.remote_host: bytes | None = None
        self.info: bytes | None = None


def environment(base: Mapping[bytes, bytes], connection: Connection) -> dict[bytes, bytes]:
    """`base` with the variables of this connection; of what is not known an inherited variable goes."""
    result = dict(base)
    result[b"PROTO"] = b"TCP"
    result[b"TCPLOCALIP"] = connection.local[0]
    result[b"TCPLOCALPORT"] = b"%d" % connection.local[1]
    result[b"TCPREMOTEIP"] = connection.remote[0]
    result[b"TCPREMOTEPORT"] = b"%d" % connection.remote[1]
    for name, value in (
        (b"TCPLOCALHOST", connection.local_host),
        (b"TCPREMOTEHOST", connection.remote_host),
        (b"TCPREMOTEINFO", connection.info),
    ):
        if value is not None:
            result[name] = value
        else:
            result.pop(name, None)
    return result


def summary(connection: Connection) -> bytes:
    """`LOCALHOST:IP:PORT REMOTEHOST:IP:INFO:PORT`, every byte that may confuse a reader of logs as `?`."""
    return b"%b:%b:%d %b:%b:%b:%d" % (
        (connection.local_host or b"").translate(_SAFE),
        *connection.local,
        (connection.remote_host or b"").translate(_SAFE),
        connection.remote[0],
        (connection.info or b"").translate(_SAFE),
        connection.remote[1],
    )
