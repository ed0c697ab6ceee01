"""QMTP and QMQP, the parts that both sides of a conversation share (http://cr.yp.to/proto/qmtp.txt, qmqp.txt).

QMTP, any number of packages: message, sender, and a netstring of recipients, each a netstring; the
answer has one netstring for each recipient. The message's first byte tells how lines end: LF as here,
CR as CR LF. QMQP, one package: a netstring of message, sender and recipients; one answer for all.
An answer begins with K (taken), Z (not now) or D (never).
"""

from __future__ import annotations

from qmail.formats.netstring import Broken, Input, TooLong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_ADDRESS = 999  # bytes
MOST_RECIPIENTS = 100_000  # of one package
LARGEST_RECIPIENTS = 1 << 24  # bytes of all of them
COST_OF_RECIPIENT = 64  # bytes that the memory of each takes besides its own
LONGEST_ANSWER = 65_536  # bytes
_LENGTH = 8  # bytes in which the length of an answer, and its colon, must stand

BAD_SENDER = b"Dunacceptable sender (#5.1.7)"
BAD_RECIPIENT = b"Dsorry, I can't handle that recipient (#5.1.3)"
BAD_ADDRESS = b"Dsorry, I can't accept addresses like that (#5.1.3)"
NOT_OURS = b"Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
NO_MAILBOX = b"Dsorry, no mailbox here by that name (#5.1.1)"
NO_LOOKUP = b"Zunable to find out whether there is such a mailbox (#4.3.0)"
TOO_MANY_UNKNOWN = b"Ztoo many unknown recipients, try this one again later (#4.5.3)"
TOO_LARGE = b"Dsorry, that message size exceeds my databytes limit (#5.3.4)"


class Answers:
    """A server's answers out of a stream: `feed` bytes as they come, `next` until None."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self._rest += data

    def next(self) -> tuple[bytes, bytes] | None:
        """The next whole answer, (K, Z or D; its words). Raises Broken, also for more than LONGEST_ANSWER bytes."""
        digits, colon, _ = self._rest[:_LENGTH].partition(b":")
        if not self._rest or (digits.isdigit() and not colon and len(digits) < _LENGTH):
            return None
        if not colon or not digits.isdigit() or int(digits) > LONGEST_ANSWER:
            raise Broken("no length, or too large a one")
        begin = len(digits) + 1
        end = begin + int(digits)
        if len(self._rest) <= end:
            return None
        text, comma = self._rest[begin:end], self._rest[end : end + 1]
        if comma != b"," or text[:1] not in (b"K", b"Z", b"D"):
            raise Broken("no answer")
        self._rest = self._rest[end + 1 :]
        return text[:1], text[1:]


def accepted(seconds: int, qp: int) -> bytes:
    """The good answer."""
    return b"Kok %d qp %d" % (seconds, qp)


def lines(source: Input, size: int) -> Iterator[bytes]:
    """The message of a QMTP package that announced `size` bytes, in pieces, its lines ending in LF. Raises as Input."""
    if not size:
        raise Broken("a message without its first byte")
    first = source.piece(1)
    if first == b"\n":
        yield from source.pieces(size - 1)
    elif first == b"\r":
        yield from _unfolded(source.pieces(size - 1))
    else:
        raise Broken("neither LF nor CR")


def _unfolded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        piece = held + piece
        # A CR at the end of a piece goes with what follows it.
        held = b"\r" if piece.endswith(b"\r") else b""
        yield piece[: len(piece) - len(held)].replace(b"\r\n", b"\n")
    if held:
        yield held


def address(source: Input) -> bytes | None:
    """An address, or None where it is too long, or no envelope could hold it."""
    text = source.text(LONGEST_ADDRESS)
    return None if text is None or b"\0" in text else text


def texts(source: Input) -> Iterator[bytes | None]:
    """The addresses up to the end of the netstring that we are in; None for one that is too long. Raises TooLong."""
    count, room = 0, LARGEST_RECIPIENTS
    while source.left:
        text = source.text(LONGEST_ADDRESS)
        count += 1
        room -= COST_OF_RECIPIENT + len(text or b"")
        if count > MOST_RECIPIENTS or room < 0:
            raise TooLong("too many recipients")
        yield text
