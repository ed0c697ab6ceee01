"""Netstrings, `5:hello,`: written, and read from a stream with every length bounded (http://cr.yp.to/proto/netstrings.txt)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST = 2_000_000_000  # bytes that a length may announce


class Broken(ValueError):
    """This is no netstring."""


class TooLong(ValueError):
    """A length of more than LARGEST."""


class Ended(Exception):
    """The stream ended, in the middle of something or before it."""


def netstring(text: bytes) -> bytes:
    """One netstring."""
    return b"%d:%b," % (len(text), text)


class Input:
    """A stream of netstrings. `read` gives what has come, at least one byte, or nothing at the end.

    Every method raises Ended; and Broken where the bytes are no netstring, or go on behind the end of the one
    that they are in (`begin`).
    """

    __slots__ = ("_at", "_buffer", "_read", "left")

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read, self._buffer, self._at = read, b"", 0
        self.left: int | None = None  # bytes to the end of the netstring that we are in

    def length(self) -> int:
        """The length that a netstring begins with, and its colon. Raises TooLong."""
        value, digits = 0, 0
        while (byte := self.piece(1)) != b":":
            if not byte.isdigit():
                raise Broken("not a length")
            value, digits = value * 10 + byte[0] - ord("0"), digits + 1
            if value > LARGEST:
                raise TooLong("a length of more than 2 GB")
        if not digits:
            raise Broken("no length")
        return value

    def piece(self, most: int) -> bytes:
        """At least one byte and at most `most` (1 or more), as they come."""
        if self.left is not None:
            if not self.left:
                raise Broken("behind the end")
            most = min(most, self.left)
        if self._at == len(self._buffer):
            self._buffer, self._at = self._read(), 0
            if not self._buffer:
                raise Ended
        found = self._buffer[self._at : self._at + most]
        self._at += len(found)
        if self.left is not None:
            self.left -= len(found)
        return found

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, in pieces of what was read at once."""
        while size:
            found = self.piece(size)
            size -= len(found)
            yield found

    def text(self, most: int) -> bytes | None:
        """A whole netstring's bytes, or None where they are more than `most`: they are then passed over."""
        size = self.length()
        kept = []
        for found in self.pieces(size):
            if size <= most:
                kept.append(found)
        self.comma()
        return b"".join(kept) if size <= most else None

    def comma(self) -> None:
        """The end of a netstring."""
        if self.piece(1) != b",":
            raise Broken("no comma")

    def begin(self) -> None:
        """Go into a netstring: until `finish`, everything lies within it. Raises TooLong."""
        self.left = self.length()

    def finish(self) -> None:
        """The end of the netstring that we are in."""
        if self.left:
            raise Broken("more than was expected")
        self.left = None
        self.comma()
