"""The parameters behind the addresses of MAIL and RCPT (RFC 5321 4.1.1.11): each keyword is read by one function.

A keyword that belongs to an extension is known only where that is announced. A new one is a function here, and a line
in MAIL or RCPT; its value then stands in the envelope, as the client has written it.
"""

from __future__ import annotations

from qmail.formats import mailparameters
from qmail.protocols import smtpextensions
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


def _bare(value: bytes | None, _terms: Terms) -> bytes:
    return b"" if value is None else reply.VALUE


def _kept(check: Callable[[bytes], object]) -> Reader:
    """A reader of values that stand in the queue: what `check` refuses is none."""

    def reader(value: bytes | None, _terms: Terms) -> bytes:
        try:
            check(value or b"")
        except mailparameters.Malformed:
            return reply.VALUE
        return b""

    return reader


def _unknown(_value: bytes | None, _terms: Terms) -> bytes:
    return reply.PARAMETER


# Keyword: (the extension that it belongs to, b"" where it is always known; its reader).
MAIL: Final[dict[bytes, tuple[bytes, Reader]]] = {
    b"SIZE": (b"", _size),  # RFC 1870 6
    b"BODY": (b"", _body),  # RFC 6152 2
    UTF8: (UTF8, _bare),  # RFC 6531 3.4
    b"RET": (smtpextensions.DSN, _kept(mailparameters.ret)),  # RFC 3461 4.3
    b"ENVID": (smtpextensions.DSN, _kept(mailparameters.envid)),  # RFC 3461 4.4
    b"REQUIRETLS": (smtpextensions.REQUIRETLS, _bare),  # RFC 8689 2
}
RCPT: Final[dict[bytes, tuple[bytes, Reader]]] = {
    b"NOTIFY": (smtpextensions.DSN, _kept(mailparameters.notify)),  # RFC 3461 4.1
    b"ORCPT": (smtpextensions.DSN, _kept(mailparameters.orcpt)),  # RFC 3461 4.2
}


def besides(mail: Parameters, recipients: Iterable[tuple[bytes, Parameters]]) -> mailparameters.Parameters | None:
    """What the queue is to know of them, those of MAIL and of each RCPT; None where there is nothing."""
    found = mailparameters.Parameters(
        (mail.get(b"RET") or b"").upper(), mail.get(b"ENVID") or b"", b"REQUIRETLS" in mail
    )
    for recipient, wishes in recipients:
        notify, orcpt = wishes.get(b"NOTIFY"), wishes.get(b"ORCPT")
        if notify or orcpt:
            found.wishes[recipient] = mailparameters.Wish(mailparameters.notify(notify) if notify else 0, orcpt or b"")
    return found if found else None
