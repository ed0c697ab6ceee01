"""The message that follows DATA: from the wire's lines to the queue's, and the end of it (RFC 5321 4.5.2).

On the wire a line ends in CR LF, and nothing else ends one. The message is over at CR LF . CR LF and
nowhere else; a LF without its CR is refused, since servers that disagree about it can be made to see
two messages where we see one. A CR alone is a byte like another.

Everything is done on whole blocks by find, count and replace; only the end of a block that may be
the beginning of the end is held back, at most four bytes.
"""

from __future__ import annotations

from qmail.protocols import smtpmeasure

END = b"\r\n.\r\n"


class Content:
    """The reader of one message: feed blocks until `over`.

    `measure`: what has come so far; `rest` is what came behind the end.
    """

    __slots__ = ("_held", "_started", "measure", "over", "rest")

    def __init__(self) -> None:
        self.measure = smtpmeasure.Measure()
        self.over, self.rest = False, b""
        self._held = b"\r\n"  # DATA's own line end: a message may begin with its end
        self._started = False

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
        text = smtpmeasure.lines(block)
        if dot != end and b"\n." in text:
            # A dot that is followed by CR and more is no stuffing, and stays.
            text = text.replace(b"\n.\r", b"\n..\r").replace(b"\n.", b"\n")
        if not self._started:
            if not text:
                return b""
            self._started, text = True, text[1:]
        self.measure.add(text)
        return text

    def _hold_back(self, block: bytes) -> bytes:
        for size in (4, 3, 2, 1):
            if block.endswith(END[:size]):
                self._held = END[:size]
                return block[:-size]
        self._held = b""
        return block
