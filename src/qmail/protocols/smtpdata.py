"""The message that follows DATA: from the wire's lines to the queue's, and the end of it (RFC 5321 4.5.2).

On the wire a line ends in CR LF, and nothing else ends one. The message is over at CR LF . CR LF and
nowhere else; a LF without its CR is refused, since servers that disagree about it can be made to see
two messages where we see one. A CR alone is a byte like another.

Everything is done on whole blocks by find, count and replace; only the end of a block that may be
the beginning of the end is held back, at most four bytes.
"""

from __future__ import annotations

from qmail.protocols import smtpreply as reply

END = b"\r\n.\r\n"
MOST_HOPS = 99  # header fields Received and Delivered-To; one more is a loop
_HOPS = (b"\nreceived", b"\ndelivered-to")
_NAME = 64  # bytes of an unfinished header line that are kept to know its name


class BareLineFeed(ValueError):
    """A line end that is none."""


class Content:
    """The reader of one message: feed blocks until `over`.

    `size` counts message bytes so far, with one byte for each line end; `hops` the Received and
    Delivered-To fields so far; `rest` is what came behind the end.
    """

    __slots__ = ("_header", "_held", "_line", "_started", "hops", "over", "rest", "size")

    def __init__(self) -> None:
        self.size = self.hops = 0
        self.over, self.rest = False, b""
        self._held = b"\r\n"  # DATA's own line end: a message may begin with its end
        self._started = False
        self._header, self._line = True, b"\n"

    def complaint(self, limit: int) -> bytes:
        """The reply that refuses what has come so far; b"" where it is in order. `limit`: bytes, 0 for none."""
        if self.hops > MOST_HOPS:
            return reply.LOOP
        return reply.TOO_LARGE if 0 < limit < self.size else b""

    def feed(self, data: bytes) -> bytes:
        """Message bytes with LF as line end. Raises BareLineFeed, after which nothing more may be fed."""
        block = self._held + data
        # The first CR LF . is the end, or a stuffed dot; most blocks have no other.
        dot = block.find(b"\r\n.")
        end = dot if dot < 0 or block.startswith(END, dot) else block.find(END, dot)
        if end >= 0:
            self.over, self.rest = True, block[end + 5 :]
            block = block[: end + 2]
        else:
            block = self._hold_back(block)
        text = self._lines(block)
        if dot != end and b"\n." in text:
            # A dot that is followed by CR and more is no stuffing, and stays.
            text = text.replace(b"\n.\r", b"\n..\r").replace(b"\n.", b"\n")
        if not self._started:
            if not text:
                return b""
            self._started, text = True, text[1:]
        self.size += len(text)
        if self._header:
            self._count(text)
        return text

    @staticmethod
    def _lines(block: bytes) -> bytes:
        # Taking single bytes out is several times faster than replacing pairs, or than counting single bytes.
        ends = block.count(b"\r\n")
        if len(block) - len(block.replace(b"\n", b"")) != ends:
            raise BareLineFeed
        text = block.replace(b"\r", b"")
        return text if len(block) - len(text) == ends else block.replace(b"\r\n", b"\n")

    def _hold_back(self, block: bytes) -> bytes:
        for size in (4, 3, 2, 1):
            if block.endswith(END[:size]):
                self._held = END[:size]
                return block[:-size]
        self._held = b""
        return block

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
