"""tar archives (POSIX.1 `ustar`) in pieces: the head of each file, so that any tar can list and unpack what we write.

head (512 bytes), the file, NULs up to a multiple of 512     again and again, and NULs at the end
"""

from __future__ import annotations

BLOCK = 512
RECORD = 20 * BLOCK  # tar(1) wants an archive to be so many of these when it changes one
END = bytes(2 * BLOCK)
LONGEST_NAME = 100  # bytes
LARGEST = 8**11 - 1  # bytes of one file
_SUM = slice(148, 156)


class Corrupt(ValueError):
    """This is no head of a file in an archive."""


class Member:
    """One file of an archive. `regular`: it is a file, and not a directory or something about others."""

    __slots__ = ("name", "regular", "size")

    def __init__(self, name: bytes, size: int, *, regular: bool = True) -> None:
        self.name, self.size, self.regular = name, size, regular


def head(name: bytes, size: int, seconds: int) -> bytes:
    """What stands before a file; `seconds`: since 1970. Raises ValueError where one of them is too large."""
    if len(name) > LONGEST_NAME or size > LARGEST:
        raise ValueError("too large for an archive")
    fields = (
        (name, 100), (b"0000600", 8), (b"0000000", 8), (b"0000000", 8), (b"%011o" % size, 12),
        (b"%011o" % max(seconds, 0), 12), (b" " * 8, 8), (b"0", 1), (b"", 100), (b"ustar\x0000", 8), (b"root", 32),
        (b"root", 32),
    )  # fmt: skip
    block = b"".join(text.ljust(width, b"\0") for text, width in fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padding(size: int) -> bytes:
    """What stands behind a file of `size` bytes."""
    return bytes(-size % BLOCK)


def member(block: bytes) -> Member | None:
    """Read a head; None where this is a block of NULs, as at the end of an archive. Raises Corrupt."""
    if not block.strip(b"\0"):
        return None
    if len(block) != BLOCK or block[257:262] != b"ustar":
        raise Corrupt("no tar archive")
    if sum(block[:148]) + 8 * 32 + sum(block[156:]) != _octal(block[_SUM]):
        raise Corrupt("a damaged head")
    prefix = block[345:500].partition(b"\0")[0] if block[262:263] == b"\0" else b""
    name = b"/".join([*([prefix] if prefix else []), block[:100].partition(b"\0")[0]])
    return Member(name.removeprefix(b"./"), _octal(block[124:136]), regular=block[156:157] in (b"0", b"\0"))


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    if not text or text.strip(b"01234567"):
        raise Corrupt("a damaged number")
    return int(text, 8)
