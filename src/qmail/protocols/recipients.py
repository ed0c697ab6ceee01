"""The talk about recipients, on the stream sockets qp/rcpt and qc/check (who is to get mail from whom), qr/verify
(addresses) and ql/homes (local parts).

    question:  length of what follows (2 bytes, big-endian), tag (4), text
    answer:    tag (4), verdict (1)
    text:      recipient NUL sender NUL variable=value NUL variable=value ...; or the address or local part alone

Questions may follow each other without waiting, and answers come in any order: the tag says to what.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAKEN = b"K"  # a delivery would find instructions, or it is none of ours
STANDING = b"S"  # TAKEN, whoever sends: so it may be taken as said for a second
UNKNOWN = b"D"  # a delivery would fail for good: no mailbox here by that name
TROUBLE = b"Z"  # what must be asked does not answer: a delivery would be put off
UNTOLD = b"-"  # it cannot be told, and so must be taken
VERDICTS = frozenset((TAKEN, STANDING, UNKNOWN, TROUBLE, UNTOLD))

# What goes with a question of who has sent it (tcp-environ(5), qmail-smtpd(8)).
VARIABLES = (
    b"PROTO", b"TCPLOCALHOST", b"TCPLOCALIP", b"TCPLOCALPORT", b"TCPREMOTEHOST", b"TCPREMOTEINFO", b"TCPREMOTEIP",
    b"TCPREMOTEPORT", b"RELAYCLIENT",
)  # fmt: skip

LONGEST = 8192  # bytes of a text
_TAG = 4
_ANSWER = _TAG + 1


class Broken(ValueError):
    """The other side does not speak this protocol."""


def question(tag: int, text: bytes) -> bytes:
    """One question; `text` has at most LONGEST bytes."""
    return (_TAG + len(text)).to_bytes(2, "big") + tag.to_bytes(_TAG, "big") + text


def answer(tag: int, verdict: bytes) -> bytes:
    """One answer."""
    return tag.to_bytes(_TAG, "big") + verdict


def surroundings(environ: Mapping[bytes, bytes]) -> bytes:
    """What a text says of a client with these variables: the end of each of its texts."""
    return b"".join([b"\0%b=%b" % (name, environ[name]) for name in VARIABLES if name in environ])


def text(recipient: bytes, sender: bytes, surroundings: bytes) -> bytes:
    """The text about one recipient of a message. No address holds a NUL."""
    return recipient + b"\0" + sender + surroundings


def parts(text: bytes) -> tuple[bytes, bytes, dict[bytes, bytes]]:
    """(recipient, sender, variables) of a text; of variables only those that may be told."""
    recipient, _, rest = text.partition(b"\0")
    sender, *said = rest.split(b"\0")
    split = (variable.partition(b"=") for variable in said)
    return recipient, sender, {name: value for name, equals, value in split if equals and name in VARIABLES}


def combined(verdicts: Sequence[bytes | None]) -> bytes | None:
    """The verdict of several who were asked, in this order; None: it must be waited for one that has said nothing yet.

    The first that is UNKNOWN or TROUBLE counts, whatever those behind it say. Where there is none, it is TAKEN
    when all say so.
    """
    for verdict in verdicts:
        if verdict is None or verdict in (UNKNOWN, TROUBLE):
            return verdict
    return UNTOLD if UNTOLD in verdicts else TAKEN


class Questions:
    """The answering side's reader: feed bytes, take (tag, text)."""

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
