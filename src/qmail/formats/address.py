"""Addresses as the envelope holds them: local@domain without quotes, any bytes but NUL (addresses(5)).

The last @ divides; an address may have none. On the wire and in header fields the local part is
quoted where it needs to be.
"""

from __future__ import annotations

_PLAIN = frozenset(b"!#$%&'*+-./0123456789=?ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz{|}~")

_NEVER = frozenset(b'\0\t "<>\\')  # in a host, and in what stands for itself

_LEVELLED = bytes(range(128)) + b"x" * 128


def split(address: bytes) -> tuple[bytes, bytes | None]:
    """(local part, domain); domain is None where there is no @."""
    local, at, domain = address.rpartition(b"@")
    return (local, domain) if at else (address, None)


def needs_quotes(local: bytes) -> bool:
    """Is this local part anything but a dot-string (RFC 5321 4.1.2)?"""
    return (
        not local
        or local[:1] == b"."
        or local[-1:] == b"."
        or b".." in local
        or not _PLAIN.issuperset(local)
    )  # fmt: skip


def quote_local(local: bytes) -> bytes:
    """A local part as it is written: itself, or a quoted string."""
    if not needs_quotes(local):
        return local
    for special in (b"\\", b'"', b"\r", b"\n"):
        local = local.replace(special, b"\\" + special)
    return b'"' + local + b'"'


def quote(address: bytes) -> bytes:
    """An address as it is written after MAIL FROM or in a header field; the empty one stays empty."""
    if not address:
        return address
    local, domain = split(address)
    return quote_local(local) if domain is None else quote_local(local) + b"@" + domain


def mailbox(address: bytes, *, international: bool = False) -> bytes | None:
    """An address as it stands between the brackets of MAIL and RCPT (RFC 5321 4.1.2).

    `international`: what is not ASCII needs no quotes (RFC 6531 3.3).
    None where it cannot: a line break would begin another command, and what a host cannot have, parameters.
    """
    local, domain = split(address)
    if b"\r" in address or b"\n" in address or not _NEVER.isdisjoint(local if domain is None else domain):
        return None
    if domain is None:
        return local
    if international and not local.isascii() and not needs_quotes(local.translate(_LEVELLED)):
        return address
    return quote_local(local) + b"@" + domain
