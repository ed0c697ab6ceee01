"""An SMTP server's replies (RFC 5321 4.2), read with limits.

The code is that of the first line, worked out even where it is no number: what is not a lawful code
must still count as a refusal. A line's fourth byte says whether more lines follow.
"""

from __future__ import annotations

LONGEST = 256 * 1024  # bytes of one reply
MOST_LINES = 2000  # of one reply
KEPT = 5000  # bytes of text


class Broken(ValueError):
    """The server does not speak SMTP, or does not stop."""


class Reply:
    """A whole reply. `code` is below 400 for yes, below 500 for not now, else no.

    `text`: the lines with the code in front, each with its newline, without any CR, at most KEPT bytes.
    """

    __slots__ = ("code", "text")

    def __init__(self, code: int, text: bytes) -> None:
        self.code, self.text = code, text


class Reader:
    """Replies out of a stream: `feed` bytes as they come, `next` until None. Raises Broken."""

    __slots__ = ("_buffer", "_code", "_lines", "_size", "_text")

    def __init__(self) -> None:
        self._buffer = b""
        self._code = self._lines = self._size = 0
        self._text = b""

    @property
    def idle(self) -> bool:
        """Has nothing come but whole replies?"""
        return not self._buffer and not self._lines

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self._buffer = self._buffer + data if self._buffer else data

    def next(self) -> Reply | None:
        """The next whole reply, or None until more is fed."""
        while (end := self._buffer.find(b"\n") + 1) > 0:
            line, self._buffer = self._buffer[:end], self._buffer[end:]
            if self._take(line):
                reply = Reply(self._code, self._text)
                self._lines = self._size = 0
                self._text = b""
                return reply
        if self._size + len(self._buffer) > LONGEST:
            raise Broken("a reply that does not end")
        return None

    def _take(self, line: bytes) -> bool:
        """Add one line; True where it is the reply's last one."""
        if len(line) < 4:
            raise Broken("a line without a code")
        self._lines += 1
        self._size += len(line)
        if self._lines > MOST_LINES or self._size > LONGEST:
            raise Broken("a reply that does not end")
        if self._lines == 1:
            self._code = code(line)
        if len(self._text) < KEPT:
            self._text = (self._text + line.replace(b"\r", b"").replace(b"\0", b"?"))[:KEPT]
        return line[3] != 45  # "-"


def code(line: bytes) -> int:
    """The value of a line's first three bytes as if they were digits; 999 where that is below 0."""
    value = (line[0] - 48) * 100 + (line[1] - 48) * 10 + line[2] - 48
    return value if value >= 0 else 999
