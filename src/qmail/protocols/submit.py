"""The talk between qmail-queued and its clients, on the stream socket qq/socket.

A client sends frames: one letter, the length of the payload (4 bytes, big-endian), the payload.

    B  begin a message; payload b"p": the client is a program of one message, its pid is the message's qp;
       b"": a resident client, qmail-queued gives a number
    M  message bytes          E  envelope bytes, as qmail-queue reads them: F<sender> NUL T<recipient> NUL ... NUL
    .  commit                 A  abandon: the client's input ended early or timed out

Any number of M and E frames may follow B, M before E; a frame's payload is at most 64 KiB. For
each B there is exactly one answer, after `.` or `A`, or earlier where the message cannot be
taken; after an early answer the rest of that message's frames is read and dropped.

    answer:  letter R, length, payload: exit code of qmail-queue(8) in decimal, a blank, the qp in decimal

Many messages may follow each other on one connection, each begun after the answer to the last.
"""

from __future__ import annotations

BEGIN, MESSAGE, ENVELOPE, COMMIT, ABANDON, ANSWER = b"B", b"M", b"E", b".", b"A", b"R"
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


def answer(code: int, qp: int) -> bytes:
    """qmail-queued's answer."""
    return frame(ANSWER, b"%d %d" % (code, qp))


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
    """(exit code, qp) of an answer's payload. Raises Broken."""
    code, blank, qp = payload.partition(b" ")
    if not (blank and code.isdigit() and qp.isdigit() and len(payload) < 40):
        raise Broken("an answer that is none")
    return int(code), int(qp)
