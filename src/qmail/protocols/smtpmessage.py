"""The message of an SMTP session while it comes, behind DATA or in chunks: what is read of it and answered to it.

A message that is refused is read to its end, or its chunk to the end of it, and nothing of it is kept.
"""

from __future__ import annotations

from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpchunks import Chunks
from qmail.protocols.smtpdata import Content
from qmail.protocols.smtpevents import ABANDON, COMMIT, CONTENT, OVER, TURN, WAIT
from qmail.protocols.smtpmeasure import BareLineFeed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.protocols.smtplines import Lines
    from qmail.protocols.smtpmeasure import Measure
    from qmail.rules.completing import Completer


class Incoming:
    """One message after the other. `limit`: bytes, 0 for none. `content`: what the last turn has brought."""

    __slots__ = ("_chunks", "_completer", "_data", "_dropped", "_limit", "content")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data: Content | None = None
        self._chunks: Chunks | None = None
        self._completer: Completer | None = None
        self._dropped = False
        self.content = b""

    @property
    def reading(self) -> bool:
        """Does what comes next belong to a message?"""
        return self._data is not None or (self._chunks is not None and self._chunks.open)

    @property
    def due(self) -> bool:
        """Is there something to do though nothing came?"""
        return self._chunks is not None and self._chunks.open and not self._chunks.left

    @property
    def halfway(self) -> bool:
        """Has a message begun that more chunks belong to?"""
        return self._chunks is not None and not self._chunks.refusal

    def begin(self, completer: Completer | None = None) -> bytes:
        """The message has a place to go. Returns the reply, which there is to DATA. `completer`: it goes through it."""
        self._completer = completer
        if self._chunks is not None:
            return b""
        self._data, self._dropped = Content(), False
        return reply.GO_AHEAD

    def refuse(self, text: bytes) -> bytes:
        """It has none. Returns the reply; to a chunk it is given when that is over."""
        if self._chunks is None:
            return text
        self._chunks.refusal = text
        return b""

    def expect(self, size: int, last: bool, refusal: bytes) -> bool:
        """A chunk comes. `refusal`: why no message may begin. Does one begin?"""
        first = self._chunks is None
        chunks = self._chunks = self._chunks or Chunks(refusal)
        chunks.expect(size, last)
        return first and not refusal

    def forget(self) -> int:
        """No more chunks come. The event."""
        event = ABANDON if self.halfway else TURN
        self._chunks = None
        return event

    def turn(self, lines: Lines) -> tuple[int, bytes]:
        """Read one block. The event, OVER where the session cannot go on; and the reply, if any."""
        if self._data is not None:
            return self._block(self._data, lines)
        assert self._chunks is not None
        return self._piece(self._chunks, lines)

    def _block(self, data: Content, lines: Lines) -> tuple[int, bytes]:
        block = lines.block()
        if not block:
            return (OVER if lines.ended else WAIT), b""
        try:
            self.content = self._completed(data.feed(block), data.over)
        except BareLineFeed:
            return OVER, reply.BARE_LF
        complaint = self._complaint(data.measure)
        if not data.over and not complaint:
            return CONTENT, b""
        if data.over:
            self._data = None
            lines.give_back(data.rest)
            if not complaint:
                return COMMIT, b""
        event, self._dropped = TURN if self._dropped else ABANDON, True
        return event, complaint if data.over else b""

    def _piece(self, chunks: Chunks, lines: Lines) -> tuple[int, bytes]:
        block = lines.take(chunks.left)
        if not block and chunks.left:
            return (OVER if lines.ended else WAIT), b""
        dropped = bool(chunks.refusal)
        self.content = self._completed(chunks.feed(block), chunks.last and not chunks.left)
        chunks.refusal = chunks.refusal or self._complaint(chunks.measure)
        event = CONTENT if not chunks.refusal else TURN if dropped else ABANDON
        if chunks.left:
            return event, b""
        chunks.open = False
        if chunks.last:
            self._chunks = None
            if not chunks.refusal:
                return COMMIT, b""
        return event, chunks.refusal or b"250 %d octets received\r\n" % chunks.size

    def _completed(self, text: bytes, whole: bool) -> bytes:
        if self._completer is None:
            return text
        return self._completer.feed(text) + (self._completer.end() if whole else b"")

    def _complaint(self, measure: Measure) -> bytes:
        long = self._completer is not None and self._completer.too_large
        return measure.complaint(self._limit) or (reply.LONG_HEADER if long else b"")
