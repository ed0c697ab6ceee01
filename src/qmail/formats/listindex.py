"""The index of a list's archive: two lines for each message (ezmlm(5)).

    15: dipjdfoipmjmlcnacell Re: lunch
        7 May 2017 21:55:05 -0000;odhojfifmnbblilkmbfh Theresia Lang

The letters stand for the subject and the author, whatever the reply marks, the case of letters and the blanks.
Messages with the same subject are one thread.
"""

from __future__ import annotations

from qmail.formats.address import split
from qmail.formats.encodedwords import decoded
from qmail.formats.header_tokens import COMMENT, LESS, Malformed, TooMany, spoken, tokens
from qmail.formats.listaddress import number
from qmail.formats.listcookie import fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 400  # bytes of a subject or name
REPLY = b"Re: "

_BLANKS = b" \t\r\n"
_SHOWN = bytes(32 if byte < 32 or byte == 127 else byte for byte in range(256))


class Entry:
    """What the index says of one message. `subject` without reply marks; `date`, `author` as they are shown."""

    __slots__ = ("author", "author_hash", "date", "number", "reply", "subject", "subject_hash")

    def __init__(self, number: int, subject: bytes, reply: bool, date: bytes, author: bytes) -> None:
        self.number, self.subject, self.reply, self.date, self.author = number, subject, reply, date, author
        self.subject_hash = self.author_hash = b""

    @property
    def thread(self) -> bytes:
        """The same for all messages of one thread."""
        return self.subject.lower().translate(None, _BLANKS)

    def text(self) -> bytes:
        """The lines of this message."""
        mark = REPLY if self.reply else b""
        return b"%d: %b %b%b\n\t%b;%b %b\n" % (
            self.number, self.subject_hash, mark, self.subject, self.date, self.author_hash, self.author,
        )  # fmt: skip


def entry(number: int, subject: bytes, author: bytes, date: bytes, prefix: bytes) -> Entry:
    """From the contents of Subject and From; `prefix`: what the list puts in front of subjects."""
    bare, reply = stripped(_line(decoded(subject)), prefix)
    name, box = author_of(author)
    made = Entry(number, bare, reply, _line(date).replace(b";", b" "), name)  # a semicolon ends it in the index
    made.subject_hash, made.author_hash = fingerprint(made.thread), fingerprint(box.lower())
    return made


def entries(text: bytes) -> Iterator[Entry]:
    """The messages in an index file; lines that make no sense are left out."""
    current: Entry | None = None
    for line in text.split(b"\n"):
        if line.startswith(b"\t") and current is not None:
            current.date, _, rest = line[1:].partition(b";")
            current.author_hash, _, current.author = rest.partition(b" ")
            yield current
            current = None
            continue
        if current is not None:
            yield current  # of an older index, which has one line a message
        found, rest = number(line)
        current = None
        if found and rest.startswith(b":"):
            code, _, subject = rest[1:].lstrip(b" ").partition(b" ")
            reply = subject.startswith(REPLY)
            current = Entry(found, subject[len(REPLY) :] if reply else subject, reply, b"", b"")
            current.subject_hash = code
    if current is not None:
        yield current


def stripped(subject: bytes, prefix: bytes) -> tuple[bytes, bool]:
    """A subject without marks of replies and the list's prefix, and whether there were marks of replies."""
    reply, before, after = False, prefix, b""
    if b"#" in prefix:
        before, _, after = prefix.rpartition(b"#")
    while True:
        subject = subject.strip(_BLANKS)
        rest = _without_mark(subject)
        if rest is not None:
            subject, reply = rest, True
            continue
        place = _prefix_place(subject, before, after) if prefix else None
        if place is None:
            return subject, reply
        subject = subject[: place[0]] + subject[place[1] :]


def has_prefix(subject: bytes, prefix: bytes) -> bool:
    """Does the list's prefix, with any number where it has `#`, stand in this subject?"""
    before, mark, after = prefix.rpartition(b"#")
    return _prefix_place(decoded(subject), before if mark else prefix, after if mark else b"") is not None


def _prefix_place(subject: bytes, before: bytes, after: bytes) -> tuple[int, int] | None:
    at = subject.find(before) if before else 0
    if at < 0 or not (before or after):
        return None  # a number alone marks nothing
    end = at + len(before)
    if after:
        _, rest = number(subject[end:])
        if not rest.startswith(after):
            return None
        end = len(subject) - len(rest) + len(after)
    return at, end


def _without_mark(subject: bytes) -> bytes | None:
    # `Re:`, `AW:`, `Re[2]:`, `Sv(3):`: two or three letters, and perhaps a number.
    mark, colon, rest = subject.partition(b":")
    word = mark.rstrip(b" ").rstrip(b"0123456789[]()^*")
    return rest if colon and 2 <= len(word) <= 3 and len(mark) <= 8 and word.isalpha() else None


def author_of(field: bytes) -> tuple[bytes, bytes]:
    """The name to be shown, and the address."""
    try:
        words = tokens(field[: 16 * LONGEST])
    except (Malformed, TooMany):
        plain = _line(decoded(field))
        return plain, plain
    angle = next((at for at, (kind, _) in enumerate(words) if kind == LESS), None)
    if angle is not None:
        box = spoken([word for word in words[angle + 1 :] if word[1] != b">"])
        name = b" ".join(text for kind, text in words[:angle] if kind != COMMENT)
    else:
        box = spoken(words)
        name = b" ".join(text for kind, text in words if kind == COMMENT)
    return _line(decoded(name)) or split(_line(box))[0], _line(box)


def _line(text: bytes) -> bytes:
    """One line, no control characters, no blanks around."""
    return b" ".join(text.translate(_SHOWN).split())[:LONGEST]
