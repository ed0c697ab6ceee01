"""The talk between qmail-queued and its clients, on the stream socket qq/socket.

A client sends frames: one letter, the length of the payload (4 bytes, big-endian), the payload.

    B  begin a message; payload b"p": the client is a program of one message, its pid is the message's qp;
       b"": a resident client, qmail-queued gives a number
    M  message bytes          E  envelope bytes, as qmail-queue reads them: F<sender> NUL T<recipient> NUL ... NUL
    .  commit                 A  abandon: the client's input ended early or timed out

Any number of M and E frames may follow B, M before E; a frame's payload is at most 64 KiB. For
each B there is exactly one answer, after `.` or `A`, or earlier where the message cannot be
taken; after an early answer the rest of that message's frames is read and dropped.

    answer:  letter R, length, payload: exit code of qmail-queue(8), a blank, the qp, both in decimal;
             with a blank and `full` at the end where the disk has no room (code 53)

Many messages may follow each other on one connection, each begun after the answer to the last.
"""

from __future__ import annotations

from struct import Struct

BEGIN, MESSAGE, ENVELOPE, COMMIT, ABANDON, ANSWER = b"B", b"M", b"E", b".", b"A", b"R"
_BEGIN, _MESSAGE, _ENVELOPE, _COMMIT, _ABANDON = BEGIN[0], MESSAGE[0], ENVELOPE[0], COMMIT[0], ABANDON[0]
HEAD = 5  # bytes before a payload
LARGEST = 65536  # bytes of a payload

PROGRAM = b"p"


class Broken(ValueError):
    """The other side does not speak this protocol."""


def frame(letter: bytes, payload: bytes = b"") -> bytes:
    """One frame; the payload must not be larger than LARGEST."""
    return letter + len(payload).to_bytes(4, "big") + payload


def frames(letter: bytes, data: bytes) -> list[bytes]:
    """As many frames as `data` needs."""
    return [frame(letter, data[at : at + LARGEST]) for at in range(0, len(data), LARGEST)]


def answer(code: int, qp: int, *, full: bool = False) -> bytes:
    """qmail-queued's answer."""
    return frame(ANSWER, b"%d %d full" % (code, qp) if full else b"%d %d" % (code, qp))


class Reader:
    """Frames out of a stream: `feed` bytes as they come, `next` until None. Raises Broken."""

    __slots__ = ("_at", "_buffer")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Take what was read from the socket."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def next(self) -> tuple[bytes, bytes] | None:
        """The next whole frame as (letter, payload), or None until more is fed."""
        at, buffer = self._at, self._buffer
        if len(buffer) - at < HEAD:
            return None
        size = int.from_bytes(buffer[at + 1 : at + HEAD], "big")
        if size > LARGEST:
            raise Broken("a frame of more than 64 KiB")
        if len(buffer) - at < HEAD + size:
            return None
        self._at = at + HEAD + size
        return bytes(buffer[at : at + 1]), bytes(buffer[at + HEAD : self._at])


def parse_answer(payload: bytes) -> tuple[int, int]:
    """(exit code, qp) of an answer's payload; `is_full` tells more of it. Raises Broken."""
    words = payload.split(b" ")
    if len(payload) > 60 or len(words) < 2 or not (words[0].isdigit() and words[1].isdigit()):
        raise Broken("an answer that is none")
    return int(words[0]), int(words[1])


def is_full(payload: bytes) -> bool:
    """Does an answer say that the message was refused because the disk has no room?"""
    return payload.endswith(b" full")


class Stage:
    """Where a connection is, seen from qmail-queued. REFUSED: answered early, the rest is dropped as it comes."""

    IDLE, BEGUN, REFUSED, COMMITTED, ABANDONED = range(5)


_FRAME_HEAD = Struct(">BI")


class Incoming:
    """qmail-queued's side of one connection: `feed` what was read, act on the stage it returns.

    While a message is BEGUN its pieces gather in `message` and `envelope`, together `held` bytes; they
    may be taken out at any time with `take`. After COMMITTED or ABANDONED nothing more is read until
    `answered`. `refuse` after an early answer: the rest of the message is dropped as it comes.
    Memory: `held`, and less than what was fed last. Raises Broken.
    """

    __slots__ = ("_left", "_piling", "_rest", "envelope", "held", "message", "program", "stage")

    def __init__(self) -> None:
        self._rest = b""
        self._restart()

    def _restart(self) -> None:
        self.stage = Stage.IDLE
        self.message: list[bytes] = []
        self.envelope: list[bytes] = []
        self._piling = self.message  # where the frame that is being read goes
        self._left = 0  # bytes of it to come
        self.held = 0
        self.program = False

    def feed(self, data: bytes) -> int:
        """Take what was read from the socket. Returns the stage."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while at < end and self.stage < Stage.COMMITTED:
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                if self.stage == Stage.BEGUN:
                    self._piling.append(piece)
                    self.held += len(piece)
                continue
            if end - at < HEAD:
                break
            letter, size = _FRAME_HEAD.unpack_from(data, at)
            if letter == _BEGIN:
                if end - at < HEAD + size <= HEAD + 1:
                    break
                self._begin(data[at + HEAD : at + HEAD + size], size)
                at += size
            else:
                self._frame(letter, size)
            at += HEAD
        if self.stage >= Stage.COMMITTED and at < end:
            raise Broken("a message begun before the last one was answered")
        self._rest = data[at:]
        return self.stage

    def _begin(self, payload: bytes, size: int) -> None:
        if self.stage != Stage.IDLE or size > 1 or payload not in (b"", PROGRAM):
            raise Broken("B where it does not belong")
        self.stage = Stage.BEGUN
        self.program = payload == PROGRAM

    def _frame(self, letter: int, size: int) -> None:
        if self.stage == Stage.IDLE or size > LARGEST:
            raise Broken("a frame outside a message, or a too large one")
        if letter == _MESSAGE and self._piling is self.message:
            self._left = size
        elif letter == _ENVELOPE:
            self._piling = self.envelope
            self._left = size
        elif letter in (_COMMIT, _ABANDON) and size == 0:
            if self.stage == Stage.REFUSED:
                self._restart()
            else:
                self.stage = Stage.COMMITTED if letter == _COMMIT else Stage.ABANDONED
        else:
            raise Broken("an unknown frame, or one out of order")

    def take(self) -> tuple[list[bytes], list[bytes]]:
        """The pieces of message and envelope that have gathered; none are held after it."""
        message, envelope = self.message[:], self.envelope[:]
        self.message.clear()
        self.envelope.clear()
        self.held = 0
        return message, envelope

    def answered(self) -> None:
        """The message was answered: the next one may begin."""
        self._restart()

    def refuse(self) -> None:
        """The message, still BEGUN, was answered early: drop the rest of it as it comes."""
        self.take()
        self.stage = Stage.REFUSED
