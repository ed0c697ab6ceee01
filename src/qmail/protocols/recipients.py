"""The talk about recipients, on the stream sockets qp/rcpt (whole addresses) and ql/homes (local parts).

    question:  length of what follows (2 bytes, big-endian), tag (4), address
    answer:    tag (4), verdict (1)

Questions may follow each other without waiting, and answers come in any order: the tag says to what.
"""

from __future__ import annotations

TAKEN = b"K"  # a delivery would find instructions, or it is none of ours
UNKNOWN = b"D"  # a delivery would fail for good: no mailbox here by that name
TROUBLE = b"Z"  # what must be asked does not answer: a delivery would be put off
UNTOLD = b"-"  # it cannot be told, and so must be taken
VERDICTS = frozenset((TAKEN, UNKNOWN, TROUBLE, UNTOLD))

LONGEST = 8192  # bytes of an address
_TAG = 4
_ANSWER = _TAG + 1


class Broken(ValueError):
    """The other side does not speak this protocol."""


def question(tag: int, address: bytes) -> bytes:
    """One question; `address` has at most LONGEST bytes."""
    return (_TAG + len(address)).to_bytes(2, "big") + tag.to_bytes(_TAG, "big") + address


def answer(tag: int, verdict: bytes) -> bytes:
    """One answer."""
    return tag.to_bytes(_TAG, "big") + verdict


class Questions:
    """The answering side's reader: feed bytes, take (tag, address)."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The questions completed by these bytes. Raises Broken."""
        buffer, at, taken = self._buffer + data, 0, []
        while len(buffer) >= at + 2:
            size = int.from_bytes(buffer[at : at + 2], "big")
            if not _TAG <= size <= _TAG + LONGEST:
                raise Broken("a length that cannot be")
            end = at + 2 + size
            if len(buffer) < end:
                break
            taken.append((int.from_bytes(buffer[at + 2 : at + 2 + _TAG], "big"), buffer[at + 2 + _TAG : end]))
            at = end
        self._buffer = buffer[at:]
        return taken


class Answers:
    """The asking side's reader: feed bytes, take (tag, verdict)."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The answers completed by these bytes. Raises Broken."""
        buffer, taken = self._buffer + data, []
        whole = len(buffer) - len(buffer) % _ANSWER
        for at in range(0, whole, _ANSWER):
            verdict = buffer[at + _TAG : at + _ANSWER]
            if verdict not in VERDICTS:
                raise Broken("a verdict that is none")
            taken.append((int.from_bytes(buffer[at : at + _TAG], "big"), verdict))
        self._buffer = buffer[whole:]
        return taken
