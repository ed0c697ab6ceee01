"""The talk with qmail-dns, on the stream socket qr/dns: questions about names, and answers without DNS in them.

    question:  length of what follows (2 bytes, big-endian), tag (2), kind (1), name
    answer:    length of what follows (4 bytes), tag (2), status (1), mark (1), records: length (2) and bytes each

Kinds and their records:
    M  mail exchangers: preference (2 bytes), name     4  IPv4 addresses (4 bytes)     6  IPv6 addresses (16 bytes)
    P  names of an address; the question's name is the packed address                  T  texts, pieces joined
    L  TLSA records as in RFC 6698 2.1; the name is whole, such as _25._tcp.mx.example
    S  where a service is (SRV, RFC 2782): priority, weight, port (2 bytes each), name
    C  the one name that this name is an alias of

Names are in lower case without a dot at the end; the root is empty; odd bytes within a label are
\\ooo in octal. The mark is A where a validating name server that is trusted vouched for all of it, c where
the name is an alias of the one that the answer is about, C for both, - for neither. Questions may follow
each other without waiting; the tag says which answer belongs to which.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXCHANGERS, ADDRESSES4, ADDRESSES6, POINTERS, TEXTS = b"M", b"4", b"6", b"P", b"T"
TLSA, SERVICES, ALIASES = b"L", b"S", b"C"
KINDS = frozenset((EXCHANGERS, ADDRESSES4, ADDRESSES6, POINTERS, TEXTS, TLSA, SERVICES, ALIASES))

FOUND = b"K"  # there are records
NOTHING = b"N"  # the name exists, without such records
NAMELESS = b"X"  # there is no such name
TROUBLE = b"Z"  # nobody could say; later perhaps

_MARKS = {(False, False): b"-", (True, False): b"A", (False, True): b"c", (True, True): b"C"}
_MARKED = {mark: marks for marks, mark in _MARKS.items()}

LONGEST_QUESTION = 1024  # bytes after the length
LONGEST_ANSWER = 256 * 1024


class Broken(ValueError):
    """The other side does not speak this protocol."""


class Answer:
    """What is known of a name: status, records, whether all that was validated, and whether the name is an alias."""

    __slots__ = ("alias", "authentic", "records", "status")

    def __init__(
        self, status: bytes, records: Sequence[bytes] = (), authentic: bool = False, alias: bool = False
    ) -> None:
        self.status, self.records, self.authentic, self.alias = status, records, authentic, alias

    @property
    def trouble(self) -> bool:
        """Could nobody say?"""
        return self.status == TROUBLE


def question(tag: int, kind: bytes, name: bytes) -> bytes:
    """One question."""
    return (len(name) + 3).to_bytes(2, "big") + tag.to_bytes(2, "big") + kind + name


def answer(tag: int, value: Answer) -> bytes:
    """One answer."""
    return framed(tag, body(value))


def framed(tag: int, body: bytes) -> bytes:
    """An answer whose `body` was made earlier."""
    return (len(body) + 2).to_bytes(4, "big") + tag.to_bytes(2, "big") + body


def body(value: Answer) -> bytes:
    """An answer without length and tag; records that do not fit are left out."""
    parts, size = [value.status + _MARKS[value.authentic, value.alias]], 4
    for record in value.records:
        size += len(record) + 2
        if len(record) > 0xFFFF or size > LONGEST_ANSWER:
            break
        parts.append(len(record).to_bytes(2, "big") + record)
    return b"".join(parts)


class Questions:
    """qmail-dns's reader: feed bytes, take (tag, kind, name)."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes, bytes]]:
        """The questions completed by these bytes. Raises Broken."""
        buffer, at, taken = self._buffer + data, 0, []
        while len(buffer) >= at + 2:
            size = int.from_bytes(buffer[at : at + 2], "big")
            if not 3 <= size <= LONGEST_QUESTION:
                raise Broken("a length that cannot be")
            if len(buffer) < at + 2 + size:
                break
            tag, kind, name = buffer[at + 2 : at + 4], buffer[at + 4 : at + 5], buffer[at + 5 : at + 2 + size]
            if kind not in KINDS:
                raise Broken("a kind that is none")
            taken.append((int.from_bytes(tag, "big"), kind, name))
            at += 2 + size
        self._buffer = buffer[at:]
        return taken


class Answers:
    """The client's reader: feed bytes, take (tag, Answer)."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, Answer]]:
        """The answers completed by these bytes. Raises Broken."""
        buffer, at, taken = self._buffer + data, 0, []
        while len(buffer) >= at + 4:
            size = int.from_bytes(buffer[at : at + 4], "big")
            if not 4 <= size <= LONGEST_ANSWER:
                raise Broken("a length that cannot be")
            if len(buffer) < at + 4 + size:
                break
            taken.append((int.from_bytes(buffer[at + 4 : at + 6], "big"), _parsed(buffer[at + 6 : at + 4 + size])))
            at += 4 + size
        self._buffer = buffer[at:]
        return taken


def _parsed(body: bytes) -> Answer:
    status, at, records = body[:1], 2, []
    if status not in (FOUND, NOTHING, NAMELESS, TROUBLE):
        raise Broken("a status that is none")
    if body[1:2] not in _MARKED:
        raise Broken("a mark that is none")
    while at < len(body):
        end = at + 2 + int.from_bytes(body[at : at + 2], "big")
        if end > len(body):
            raise Broken("a record behind the answer")
        records.append(body[at + 2 : end])
        at = end
    return Answer(status, records, *_MARKED[body[1:2]])
