"""The mbox format (mbox(5)): From_ lines, and the quoting of lines that look like one.

The quoting is that of mboxrd: a line of any number of `>` and then `From ` gets one more `>`, so that
a reader can take away exactly what was added.
"""

from __future__ import annotations

from qmail.formats.received import date

_BLANKS = bytes.maketrans(b" \t\n", b"---")
_DAYS = (b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed")  # from 1 January 1970 on
_FROM = b"From "
_GREATER = 0x3E


def from_line(sender: bytes, seconds: int) -> bytes:
    """The line in front of a message: `From sender Thu Nov 19 05:06:07 1996`, in GMT; no sender is MAILER-DAEMON."""
    return b"From %b %b\n" % (sender.translate(_BLANKS) or b"MAILER-DAEMON", ctime(seconds))


def ctime(seconds: int) -> bytes:
    """Seconds since 1970 as `Thu Nov 19 05:06:07 1996`."""
    day, month, year, time, _zone = date(seconds).split(b" ")
    return b"%b %b %02d %b %b" % (_DAYS[seconds // 86400 % 7], month, int(day), time, year)


class Quoter:
    """Quotes a message that comes in pieces, and knows how it ended."""

    __slots__ = ("_fresh", "_held", "_newline")

    def __init__(self) -> None:
        self._held = b""  # the beginning of a `From ` that the next piece may finish
        self._fresh = True  # only `>` since the last newline
        self._newline = True  # the message is empty, or its last byte so far is a newline

    def feed(self, piece: bytes) -> bytes:
        """What can be written now."""
        data = self._held + piece
        if not data:
            return b""
        self._newline = data.endswith(b"\n")
        kept = self._unfinished(data)
        quoted = self._quote(data)
        self._held = data[len(data) - kept :]
        self._fresh = self._is_fresh(data, len(data) - kept)
        return quoted[: len(quoted) - kept] if kept else quoted

    def end(self) -> bytes:
        """The rest: a newline where the last line has none."""
        return self._held if self._newline else self._held + b"\n"

    def _quote(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        done, at = 0, data.find(_FROM)
        while at >= 0:
            if self._is_fresh(data, at):
                pieces += (data[done:at], b">")
                done = at
            at = data.find(_FROM, at + len(_FROM))
        if not pieces:
            return data
        pieces.append(data[done:])
        return b"".join(pieces)

    def _is_fresh(self, data: bytes, at: int) -> bool:
        # Is there nothing but `>` between the beginning of the line and this place?
        while at and data[at - 1] == _GREATER:
            at -= 1
        return data[at - 1 : at] == b"\n" if at else self._fresh

    def _unfinished(self, data: bytes) -> int:
        # How many bytes at the end may be the beginning of a From_ line.
        for size in range(min(len(_FROM) - 1, len(data)), 0, -1):
            if data.endswith(_FROM[:size]) and self._is_fresh(data, len(data) - size):
                return size
        return 0
