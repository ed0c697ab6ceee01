"""The addresses of a mailing list: commands, and the senders that failures come back to (ezmlm(5)).

LIST-subscribe                    what is asked for, by the sender of the message
LIST-subscribe-joe=example.org    the same for joe@example.org
LIST-return-12-joe=example.org    message 12 did not reach joe@example.org
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$'*@=")


def dashed(address: bytes) -> bytes:
    """`joe@example.org` as it stands inside another address: `joe=example.org`."""
    local, at, domain = address.rpartition(b"@")
    return local + b"=" + domain if at else address


def spelled(text: bytes) -> bytes:
    """The way back: the last `=` is the `@`."""
    local, equals, domain = text.rpartition(b"=")
    return local + b"@" + domain if equals else text


def mailto(address: bytes) -> bytes:
    """The address as a URL in angle brackets, for List fields (RFC 2369, RFC 6068 2)."""
    return b"<mailto:%b>" % b"".join(b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in address)


def command(environ: Mapping[bytes, bytes], list_local: bytes) -> bytes | None:
    """What stands behind `LIST-` in the address that was written to; None where it is the list's own.

    A .qmail-LIST-default file sets DEFAULT; where there is none LOCAL says it.
    """
    told = environ.get(b"DEFAULT")
    if told is not None:
        return told
    local = environ.get(b"LOCAL", b"")
    start = list_local.lower() + b"-"
    return local[len(start) :] if local.lower().startswith(start) else None


def number(text: bytes) -> tuple[int | None, bytes]:
    """The number that `text` begins with (at most 18 digits count; None without any), and what follows."""
    end = 0
    while end < len(text) and end < 18 and 48 <= text[end] <= 57:
        end += 1
    return (int(text[:end]) if end else None), text[end:]
