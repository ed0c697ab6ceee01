"""Several messages in one: digests of a list, and answers from its archive (RFC 1153, RFC 2046 5.1.5).

The forms, by their letters:

    m  multipart/digest, of each message the fields that matter, by threads
    x  the same as multipart/mixed, for readers that do not show the former
    v  multipart/digest, the messages byte for byte, by threads
    n  the same, in their order, without a table
    r  plain text with lines of hyphens between
"""

from __future__ import annotations

from qmail.formats.header_fields import name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qmail.formats.listindex import Entry

FORMS = (b"m", b"x", b"v", b"n", b"r")
FIELDS = (
    b"date", b"to", b"from", b"reply-to", b"cc", b"subject", b"mime-version", b"content-type",
    b"content-transfer-encoding", b"message-id", b"keywords",
)  # fmt: skip
PLAIN_FIELDS = (b"date", b"to", b"from", b"reply-to", b"cc", b"subject", b"message-id", b"keywords")

_LINE = b"-" * 70 + b"\n\n"  # behind the table (RFC 1153)
_BETWEEN = b"\n" + b"-" * 30 + b"\n\n"


class Frame:
    """What stands before, between and behind the messages, in one form. `boundary`: no message holds it."""

    def __init__(self, form: bytes, boundary: bytes, charset: bytes, fields: Sequence[bytes] = ()) -> None:
        self.form, self._boundary, self._charset = form, boundary, charset
        self._fields = tuple(fields) or (PLAIN_FIELDS if form == b"r" else FIELDS)
        self._first = True

    @property
    def by_threads(self) -> bool:
        """Do messages of one thread follow each other, with a table in front?"""
        return self.form != b"n"

    def content_type(self) -> bytes:
        """The fields of the whole that say what it is."""
        if self.form == b"r":
            return b"MIME-Version: 1.0\nContent-Type: text/plain; charset=%b\n" % self._charset
        kind = b"mixed" if self.form == b"x" else b"digest"
        return b'MIME-Version: 1.0\nContent-Type: multipart/%b;\n\tboundary="%b"\n' % (kind, self._boundary)

    def text(self, words: bytes) -> bytes:
        """A part of our own words."""
        if self.form == b"r":
            return words
        return b"\n--%b\nContent-Type: text/plain; charset=%b\n\n%b" % (self._boundary, self._charset, words)

    def head(self, fields: Iterable[bytes], found: int) -> bytes:
        """What comes before the body of message number `found`, whose header this is."""
        if self.form == b"r":
            between, self._first = (_LINE if self._first else _BETWEEN), False
            return between + self._chosen(fields) + b"\n"
        head = b"\n--%b\nContent-Type: message/rfc822\nContent-Description: message %d\n\n" % (self._boundary, found)
        return head + (b"".join(fields) if self.form in (b"v", b"n") else self._chosen(fields)) + b"\n"

    def end(self, title: bytes) -> bytes:
        """Behind all of it."""
        if self.form == b"r":
            last = b"End of " + title
            return _BETWEEN + last + b"\n" + b"*" * len(last) + b"\n"
        return b"\n--%b--\n" % self._boundary

    def _chosen(self, fields: Iterable[bytes]) -> bytes:
        held: dict[bytes, bytes] = {}
        for field in fields:
            written = name(field).lower()
            if written in self._fields:
                held[written] = held.get(written, b"") + field
        return b"".join(held[each] for each in self._fields if each in held)


def threads(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The messages grouped by subject, the groups in the order of their first messages."""
    groups: dict[bytes, list[Entry]] = {}
    for entry in entries:
        # Without a subject each stands for itself.
        groups.setdefault(entry.thread or b"\0%d" % entry.number, []).append(entry)
    return list(groups.values())


def table(groups: Sequence[Sequence[Entry]]) -> bytes:
    """What is in it."""
    numbers = [entry.number for group in groups for entry in group]
    if not numbers:
        return b""
    lines = [b"Topics (messages %d through %d):\n" % (min(numbers), max(numbers))]
    for group in groups:
        lines.append(b"\n%b\n" % (group[0].subject or b"(no subject)"))
        lines += [b"\t%d by: %b\n" % (entry.number, entry.author or b"unknown") for entry in group]
    return b"".join(lines) + b"\n"
