"""XCLIENT: a proxy says whom it speaks for (Postfix's XCLIENT_README), attributes in xtext (RFC 3461 4).

    XCLIENT NAME=client.example.net ADDR=192.0.2.7 PORT=1234 HELO=client LOGIN=joe DESTADDR=192.0.2.1 DESTPORT=25

What it says takes the place of what tcpserver knows: variables of tcp-environ(5). What it leaves out stays, but for
what belongs to another address. Whoever may say it may be anybody: only clients with XCLIENT in their rules may.
"""

from __future__ import annotations

from qmail.formats import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

ATTRIBUTES, LOGIN = b"NAME ADDR PORT PROTO HELO DESTADDR DESTPORT", b" LOGIN"
LONGEST = 255  # bytes of a value
_UNKNOWN = (b"[UNAVAILABLE]", b"[TEMPUNAVAIL]")
_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class Introduction:
    """`variables`: None for those that go. `hello`: how the client greeted, if it did; `user`: who has logged in."""

    __slots__ = ("hello", "user", "variables")

    def __init__(self) -> None:
        self.variables: dict[bytes, bytes | None] = {b"TCPREMOTEINFO": None}
        self.hello: bytes | None = None
        self.user = b""


def introduction(argument: bytes) -> Introduction | None:
    """What stands behind XCLIENT; None where it is no list of known attributes with fitting values."""
    said: dict[bytes, bytes | None] = {}
    for word in argument.split():
        attribute, equals, text = word.partition(b"=")
        value = None if text.upper() in _UNKNOWN else _decoded(text)
        attribute = attribute.upper()
        if not equals or attribute in said or attribute not in _READERS or value == b"":
            return None
        said[attribute] = value if value is None else _READERS[attribute](value)
        if value is not None and said[attribute] is None:
            return None
    return _introduced(said) if said else None


def _introduced(said: dict[bytes, bytes | None]) -> Introduction:
    found = Introduction()
    if b"ADDR" in said:
        found.variables |= {b"TCPREMOTEIP": said[b"ADDR"], b"TCPREMOTEHOST": None, b"TCPREMOTEPORT": None}
    for attribute, variable in _VARIABLES.items():
        if attribute in said:
            found.variables[variable] = said[attribute]
    found.hello, found.user = said.get(b"HELO"), said.get(b"LOGIN") or b""
    return found


def _decoded(text: bytes) -> bytes:
    # b"" where it is no xtext, or holds what no value may.
    first, *rest = text.split(b"+")
    try:
        value = first + b"".join([bytes.fromhex(piece[:2].decode()) + piece[2:] for piece in rest])
    except ValueError:
        return b""
    is_fit = len(value) <= LONGEST and all(32 < byte != 127 for byte in value)
    return value if is_fit and all(len(piece) > 1 for piece in rest) else b""


def _name(value: bytes) -> bytes | None:
    return value if _NAME.issuperset(value) else None


def _address(value: bytes) -> bytes | None:
    if value[:5].upper() == b"IPV6:":
        six = ip.v6(value[5:])
        return None if six is None else ip.plain(ip.v6_text(six))
    four = ip.v4(value)
    return None if four is None else ip.v4_text(four)


def _port(value: bytes) -> bytes | None:
    return value if value.isdigit() and len(value) <= 5 and int(value) <= 65535 else None


def _protocol(value: bytes) -> bytes | None:
    return value if value.upper() in (b"SMTP", b"ESMTP") else None


def _any(value: bytes) -> bytes | None:
    return value


_READERS: Final[dict[bytes, Callable[[bytes], bytes | None]]] = {
    b"NAME": _name, b"ADDR": _address, b"PORT": _port, b"PROTO": _protocol, b"HELO": _any, b"LOGIN": _any,
    b"DESTADDR": _address, b"DESTPORT": _port,
}  # fmt: skip
_VARIABLES: Final[dict[bytes, bytes]] = {
    b"NAME": b"TCPREMOTEHOST", b"PORT": b"TCPREMOTEPORT", b"DESTADDR": b"TCPLOCALIP", b"DESTPORT": b"TCPLOCALPORT",
}  # fmt: skip
