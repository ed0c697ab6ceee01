"""What a message of SMTP is measured by while it comes: its line ends, its size, and the hosts it has been through."""

from __future__ import annotations

from qmail.protocols import smtpreply as reply

MOST_HOPS = 99  # header fields Received and Delivered-To; one more is a loop
_HOPS = (b"\nreceived", b"\ndelivered-to")
_NAME = 64  # bytes of an unfinished header line that are kept to know its name


class BareLineFeed(ValueError):
    """A line end that is none."""


def lines(block: bytes) -> bytes:
    """What came from the wire, with LF as line end; a CR alone stays. Raises BareLineFeed where a LF has no CR."""
    # Taking single bytes out is several times faster than replacing pairs, or than counting single bytes.
    ends = block.count(b"\r\n")
    if len(block) - len(block.replace(b"\n", b"")) != ends:
        raise BareLineFeed
    text = block.replace(b"\r", b"")
    return text if len(block) - len(text) == ends else block.replace(b"\r\n", b"\n")


class Measure:
    """What has come so far: `size` in bytes, one for each line end; `hops`: Received and Delivered-To fields."""

    __slots__ = ("_header", "_line", "hops", "size")

    def __init__(self) -> None:
        self.size = self.hops = 0
        self._header, self._line = True, b"\n"

    def complaint(self, limit: int) -> bytes:
        """The reply that refuses what has come so far; b"" where it is in order. `limit`: bytes, 0 for none."""
        if self.hops > MOST_HOPS:
            return reply.LOOP
        return reply.TOO_LARGE if 0 < limit < self.size else b""

    def add(self, text: bytes) -> None:
        """So much more has come."""
        self.size += len(text)
        if self._header:
            self._count(text)

    def _count(self, text: bytes) -> None:
        # `_line` is the LF before the line that is not finished yet, and the first bytes of that line.
        lines = self._line + text
        end = lines.find(b"\n\n")
        if end >= 0:
            self._header = False
        else:
            end = lines.rfind(b"\n")
        names = lines[:end].lower()
        for name in _HOPS:
            at = names.find(name)
            while at >= 0:
                at += len(name)
                self.hops += names[at : at + _NAME].lstrip(b" \t")[:1] == b":"
                at = names.find(name, at)
        self._line = lines[end : end + _NAME]
