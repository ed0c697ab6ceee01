"""Mailing lists (setmaillist(1)): one member a line as text, and the binary form that fastforward reads.

In binary a member is `&` and a recipient, or the name of another binary list, which begins with `/` or
`.`; a NUL stands behind each. Both are read piece by piece: a list may be larger than memory.
"""

from __future__ import annotations

from qmail.formats.forwardtable import LIST, LONGEST, RECIPIENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_NAME = 4095  # bytes of a file name
LONGEST_LINE = 1024 * 1024  # bytes; a comment may be long, and in :include: files a line may have many addresses


class Malformed(ValueError):
    """Not a list; in words for a person."""


def pieces(chunks: Iterable[bytes], mark: bytes, longest: int) -> Iterator[bytes]:
    """What stands between the marks, the last one perhaps without. Raises Malformed beyond `longest` bytes."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(mark)
        if len(rest) > longest or any(len(piece) > longest for piece in whole):
            raise Malformed(f"more than {longest} bytes in one piece")
        yield from whole
    if rest:
        yield rest


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a text, without their ends. Raises Malformed."""
    return pieces(chunks, b"\n", LONGEST_LINE)


def member(line: bytes) -> bytes | None:
    """What a line of setmaillist's input means, or None for nothing. Raises Malformed."""
    line = line.rstrip(b" \t")
    if not line or line.startswith(b"#"):
        return None
    return checked(line if line.startswith((RECIPIENT, *LIST)) else RECIPIENT + line)


def checked(entry: bytes) -> bytes:
    """A member that may stand in a binary list. Raises Malformed."""
    if b"\0" in entry:
        raise Malformed("NUL in input")
    if entry.startswith(RECIPIENT):
        if len(entry) > 1 + LONGEST:
            raise Malformed(f"addresses over {LONGEST} bytes are not permitted")
    elif len(entry) > LONGEST_NAME:
        raise Malformed(f"file names over {LONGEST_NAME} bytes are not permitted")
    return entry


def members(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The members of a binary list. Raises Malformed, also where the last one is cut short."""
    last = b""
    for chunk in chunks:
        found = (last + chunk).split(b"\0")
        last = found.pop()
        if len(last) > LONGEST_NAME:
            break
        for entry in found:
            if not entry.startswith((RECIPIENT, *LIST)) or len(entry) > LONGEST_NAME:
                raise Malformed("bad mailing list format")
            yield entry
    if last:
        raise Malformed("bad mailing list format")
