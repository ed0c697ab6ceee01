"""The parameters behind the addresses of MAIL and RCPT (RFC 5321 4.1.1.11): each keyword is read by one function.

A keyword that belongs to an extension is known only where that is announced. A new one is a function here, and a line
in MAIL or RCPT; its value then stands in the envelope, as the client has written it.
"""

from __future__ import annotations

from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpextensions import UTF8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Final, TypeAlias

    # Keyword, in upper case: what stands behind its `=`; None where there is none.
    Parameters: TypeAlias = "dict[bytes, bytes | None]"
    # The reply that refuses a value, or b"".
    Reader: TypeAlias = "Callable[[bytes | None, Terms], bytes]"

NONE: Parameters = {}


class Terms:
    """What a session allows. `limit`: bytes of a message, 0 for no limit; `extensions`: what is announced."""

    __slots__ = ("extensions", "limit", "secured")

    def __init__(self, limit: int, extensions: frozenset[bytes], *, secured: bool) -> None:
        self.limit, self.extensions, self.secured = limit, extensions, secured


def read(words: Iterable[bytes], readers: Mapping[bytes, tuple[bytes, Reader]], terms: Terms) -> Parameters | bytes:
    """The parameters that the words are, or the reply that refuses them. `readers`: MAIL or RCPT."""
    parameters: Parameters = {}
    for word in words:
        keyword, equals, text = word.partition(b"=")
        keyword, value = keyword.upper(), text if equals else None
        extension, reader = readers.get(keyword, (b"", _unknown))
        if extension and extension not in terms.extensions:
            return reply.PARAMETER
        if keyword in parameters:
            return reply.VALUE
        if refusal := reader(value, terms):
            return refusal
        parameters[keyword] = value
    return parameters


def _size(value: bytes | None, terms: Terms) -> bytes:
    if value is None or not value.isdigit() or len(value) > 20:
        return reply.VALUE
    return reply.TOO_LARGE if 0 < terms.limit < int(value) else b""


def _body(value: bytes | None, _terms: Terms) -> bytes:
    return b"" if value is not None and value.upper() in (b"7BIT", b"8BITMIME") else reply.VALUE


def _utf8(value: bytes | None, _terms: Terms) -> bytes:
    return b"" if value is None else reply.VALUE


def _unknown(_value: bytes | None, _terms: Terms) -> bytes:
    return reply.PARAMETER


# Keyword: (the extension that it belongs to, b"" where it is always known; its reader).
MAIL: Final[dict[bytes, tuple[bytes, Reader]]] = {
    b"SIZE": (b"", _size),  # RFC 1870 6
    b"BODY": (b"", _body),  # RFC 6152 2
    UTF8: (UTF8, _utf8),  # RFC 6531 3.4
}
RCPT: Final[dict[bytes, tuple[bytes, Reader]]] = {}
