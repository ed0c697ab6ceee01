"""What an SMTP client has sent and nobody has read yet: lines, or blocks of a message, out of one received block."""

from __future__ import annotations

LONGEST_LINE = 32768  # bytes of a command; the rest of a longer one is passed over


class Lines:
    """At most one received block and the beginning of a line. `more`: there may be something to read.

    `ended`: the client will send nothing more.
    """

    __slots__ = ("_at", "_buffer", "_skipping", "ended", "more")

    def __init__(self) -> None:
        self._buffer, self._at, self._skipping = b"", 0, False
        self.ended = self.more = False

    def receive(self, data: bytes) -> None:
        """What the client sent; b"" means that it will send nothing more."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0
        self.ended = not data
        self.more = True

    def next(self) -> bytes | None:
        """The next line, without its end and what stands behind a NUL; None until more comes. Raises TooLong."""
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            self.more = False
            if self._skipping or len(self._buffer) - self._at > LONGEST_LINE:
                self._skipping, self._buffer, self._at = True, b"", 0
            return None
        line = self._buffer[self._at : end]
        self._at = end + 1
        self.more = self._at < len(self._buffer)
        if self._skipping or len(line) > LONGEST_LINE:
            self._skipping = False
            raise TooLong
        if line[-1:] == b"\r":
            line = line[:-1]
        return line.partition(b"\0")[0] if b"\0" in line else line

    def block(self) -> bytes:
        """Everything that is there."""
        block = self._buffer[self._at :] if self._at else self._buffer
        self._buffer, self._at, self.more = b"", 0, False
        return block

    def take(self, most: int) -> bytes:
        """At most so many bytes."""
        taken = self._buffer[self._at : self._at + most]
        self._at += len(taken)
        self.more = self._at < len(self._buffer)
        return taken

    def give_back(self, rest: bytes) -> None:
        """Of the last `block` this is still to be read."""
        self._buffer, self.more = rest, bool(rest)


class TooLong(ValueError):
    """A line of more than LONGEST_LINE bytes, which has been passed over."""
