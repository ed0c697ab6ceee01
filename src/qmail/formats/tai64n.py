"""TAI64N labels: a second counted from 2^62 at the start of 1970 TAI, and its nanoseconds (tai64n(8)).

TAI is kept at ten seconds ahead of UTC, as all programs of daemontools do: leap seconds are not counted.
"""

from __future__ import annotations

EPOCH = (1 << 62) + 10  # the label of 1970-01-01 00:00:00 UTC
PACKED = 12  # bytes of a packed label
DIGITS = 24  # hexadecimal digits of a written one
HEXADECIMAL = frozenset(b"0123456789abcdef")


def pack(nanoseconds: int) -> bytes:
    """Nanoseconds since 1970 UTC as 12 bytes: seconds in 8, nanoseconds in 4, both big-endian."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return (EPOCH + seconds).to_bytes(8, "big") + rest.to_bytes(4, "big")


def label(nanoseconds: int) -> bytes:
    """The written label, such as `@4000000037c219bf2ef02e94`."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return b"@%016x%08x" % (EPOCH + seconds, rest)


def unpack(packed: bytes) -> tuple[int, int]:
    """(seconds since 1970 UTC, nanoseconds) of 12 packed bytes. The nanoseconds may be senseless."""
    return int.from_bytes(packed[:8], "big") - EPOCH, int.from_bytes(packed[8:12], "big")


def leading(line: bytes) -> tuple[int, int] | None:
    """(seconds since 1970 UTC, nanoseconds) of the label at the start of `line`; None where there is none.

    A label is `@` and exactly 24 lower-case hexadecimal digits.
    """
    digits = line[1 : 1 + DIGITS]
    if line[:1] != b"@" or len(digits) < DIGITS or not HEXADECIMAL.issuperset(digits):
        return None
    if line[1 + DIGITS : 2 + DIGITS] and line[1 + DIGITS] in HEXADECIMAL:
        return None
    return unpack(bytes.fromhex(digits.decode("ascii")))
