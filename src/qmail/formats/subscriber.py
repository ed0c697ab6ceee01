"""Subscribers as a list's files hold them: `T<address>` NUL, in 53 files that are named @ to t (ezmlm(5)).

Which file is said by a hash of the record. Of its author's programs the older ones hash with 32 bits and the
address as it was given, the newer ones with the size of a machine word and small letters; so an address may stand
in any of a few files. New ones go where the newer programs put them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 400  # bytes of an address
FILES = [b"%c" % (64 + number) for number in range(53)]

_CONTROLS = bytes([*range(32), 127])


def fit(address: bytes, *, hosts: bool = False) -> bool:
    """May this address be on a list? It has both parts, no control characters, and at most LONGEST bytes.

    `hosts`: `@HOST` may stand for everybody there.
    """
    local, at, domain = address.rpartition(b"@")
    return (
        bool((local or hosts) and at and domain)
        and len(address) <= LONGEST
        and address == address.translate(None, _CONTROLS)
    )


def canonical(address: bytes) -> bytes:
    """The address as it is kept: the host in small letters."""
    local, at, domain = address.rpartition(b"@")
    return local + at + domain.lower()


def places(address: bytes) -> list[bytes]:
    """The files where this address may stand, by name; the first one is where a new one goes."""
    found = []
    for bits in (64, 32):
        for text in (address.lower(), canonical(address)):
            for signed in (True, False):
                name = FILES[_hash(b"T" + text, bits, signed) % 53]
                if name not in found:
                    found.append(name)
    return found


def addresses(text: bytes) -> list[bytes]:
    """The addresses in a file. Raises ValueError where it is none of ours."""
    *records, rest = text.split(b"\0")
    if rest or not all(record.startswith(b"T") for record in records):
        raise ValueError("not a file of subscribers")
    return [record[1:] for record in records]


def records(found: Iterable[bytes]) -> bytes:
    """Addresses as a file holds them."""
    return b"".join(b"T%b\0" % address for address in found)


def _hash(text: bytes, bits: int, signed: bool) -> int:
    # Bytes above 127 were negative numbers to programs for machines whose characters have a sign.
    value, mask = 5381, (1 << bits) - 1
    for byte in text:
        extended = byte | 0xFFFFFF00 if signed and byte > 127 else byte
        value = (value * 33 & mask) ^ extended
    return value & mask
