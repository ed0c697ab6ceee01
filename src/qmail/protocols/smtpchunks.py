"""The chunks of BDAT (RFC 3030 2): bytes that were counted before they came, so that nothing in them is looked for.

A message is the bytes of all its chunks, one behind the other: a line end may lie on an edge. They are held to what
holds behind DATA: a line ends in CR LF, a LF alone is refused, a CR alone stays. A last line without an end gets one.
"""

from __future__ import annotations

from qmail.protocols import smtpmeasure
from qmail.protocols import smtpreply as reply

MOST = (1 << 63) - 1  # bytes of a chunk
LAST = b"LAST"


def chunk(argument: bytes) -> tuple[int, bool] | None:
    """What stands behind BDAT: (bytes, is it the last one), or None where it does not say."""
    words = argument.split()
    if not 1 <= len(words) <= 2 or not words[0].isdigit() or len(words[0]) > 20 or int(words[0]) > MOST:
        return None
    if len(words) == 2 and words[1].upper() != LAST:
        return None
    return int(words[0]), len(words) == 2


class Chunks:
    """The reader of one message: `expect` a chunk, feed it until `left` is 0.

    `refusal`: the reply that each chunk gets, since the message is not taken. `open`: a chunk has not been answered
    yet; `size`: its bytes; `left`: those of them that are still to come; `last`: it is the last one.
    """

    __slots__ = ("_held", "_unfinished", "last", "left", "measure", "open", "refusal", "size")

    def __init__(self, refusal: bytes) -> None:
        self.refusal = refusal
        self.measure = smtpmeasure.Measure()
        self.size = self.left = 0
        self.open = self.last = self._unfinished = False
        self._held = b""  # a CR at the end of what has come

    def expect(self, size: int, last: bool) -> None:
        """So many bytes come."""
        self.size = self.left = size
        self.last, self.open = last, True

    def feed(self, block: bytes) -> bytes:
        """Message bytes with LF as line end, of at most `left` bytes. `refusal` where they are not to be taken."""
        self.left -= len(block)
        if self.refusal:
            return b""
        whole = self.last and not self.left
        block = self._held + block
        self._held = b"\r" if block.endswith(b"\r") and not whole else b""
        try:
            text = smtpmeasure.lines(block[:-1] if self._held else block)
        except smtpmeasure.BareLineFeed:
            self.refusal = reply.BARE_LF
            return b""
        if text:
            self._unfinished = not text.endswith(b"\n")
        if whole and self._unfinished:
            text += b"\n"
        self.measure.add(text)
        return text
