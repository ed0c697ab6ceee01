"""What a mailing list does to the header of a message that it sends on (ezmlm-send(1)).

The list's own fields go in front; fields that it does not want go; the subject may get a prefix. The archive keeps all
Received fields and the subject as it was, and of the list's own fields only the one that says that it was here.
"""

from __future__ import annotations

from qmail.formats import listindex
from qmail.formats.address import quote
from qmail.formats.encodedwords import encoded
from qmail.formats.header_fields import name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Wanted: TypeAlias = Callable[[bytes], bool]

ALREADY = b"This message comes from a mailing list already: it has a Mailing-List field. (#5.7.2)"
NOT_FROM_PARENT = b"This list only takes what its parent list has sent: there is no Mailing-List field. (#5.7.2)"
LOOPING = b"This message is looping: it already has this list's Delivered-To line. (#5.4.6)"
_MARK = b"mailing-list"


class Settings:
    """What the list's files say; all names of fields in small letters.

    `fields`: those to be put in front, whole lines, of which `delivered_to` marks what went through this list.
    `kept`: the only names that stay, or None; `removed`: those that go. `prefix`: for subjects, `#` the number.
    `author`: the list's address, where messages are to come from it; `answered`: where answers are to go to it.
    `received`: all Received fields go on. `mark`: another field by which a parent list's mail is known.
    """

    def __init__(self) -> None:
        self.fields: list[bytes] = []
        self.delivered_to = b""
        self.kept: frozenset[bytes] | None = None
        self.removed: frozenset[bytes] = frozenset()
        self.prefix, self.number = b"", 0
        self.author = self.answered = b""
        self.received = False
        self.sublist, self.mark = False, b""


class Edited:
    """The message's new header, for the subscribers and for the archive, without the empty line; and what it says."""

    __slots__ = ("archived", "contents", "received", "sent")

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.archived: list[bytes] = []
        self.contents: dict[bytes, bytes] = {}  # of the first field of each name, without its newline
        self.received = b""  # the date when we got it


def refusal(fields: Sequence[bytes], settings: Settings) -> bytes | None:
    """Why this message must not be sent on; None where it may."""
    names = {name(field).lower() for field in fields}
    marked = bool(names & {_MARK, settings.mark})
    if settings.delivered_to in fields:
        return LOOPING
    if settings.sublist:
        return None if marked else NOT_FROM_PARENT
    return ALREADY if marked else None


def edited(fields: Sequence[bytes], settings: Settings) -> Edited:
    """Edit the header."""
    made = Edited()
    made.sent += settings.fields
    made.archived.append(settings.delivered_to)
    for field in fields:
        written = name(field).lower()
        contents = field.partition(b":")[2].rstrip(b"\n")
        first = written not in made.contents
        made.contents.setdefault(written, contents)
        if written == b"received":
            if first:
                made.received = contents.rpartition(b";")[2].strip()
            if first or settings.received:
                made.sent.append(field)
            made.archived.append(field)
        elif written == b"mbox-line" or (
            written in settings.removed if settings.kept is None else written not in settings.kept
        ):
            continue
        else:
            made.archived.append(field)
            made.sent += _sent(written, field, contents, settings, first=first)
    if settings.prefix and b"subject" not in made.contents:
        made.sent.append(_subject(b"", settings))
    made.sent += _answers(settings, made.contents)
    return made


def _sent(written: bytes, field: bytes, contents: bytes, settings: Settings, *, first: bool) -> list[bytes]:
    if written == b"subject" and first:
        return [_subject(contents, settings)]
    if written == b"from" and settings.author:
        return [_from_list(contents, settings.author)] if first else []
    if written == b"reply-to" and (settings.author or settings.answered):
        return []
    return [field]


def _from_list(contents: bytes, author: bytes) -> bytes:
    """From the list, for those whose own hosts forbid that others send their mail (RFC 7489)."""
    person, _ = listindex.author_of(contents)
    said = person.replace(b"\\", b"").replace(b'"', b"") + b" via " + author.partition(b"@")[0]
    phrase = b'"%b"' % said if said.isascii() else encoded(said)
    return b"From: %b <%b>\n" % (phrase, quote(author))


def _answers(settings: Settings, contents: dict[bytes, bytes]) -> list[bytes]:
    """Where answers go: to the list, to the writer whose address is not in From any more, or to both."""
    to_list = b"<%b>" % quote(settings.answered) if settings.answered else b""
    if not settings.author:
        return [b"Reply-To: %b\n" % to_list] if to_list else []
    writer = contents.get(b"reply-to", contents.get(b"from", b"")).strip()
    both = b", ".join(filter(None, (to_list, writer)))
    return [b"Reply-To: %b\n" % both] if both else []


def _subject(contents: bytes, settings: Settings) -> bytes:
    before, mark, after = settings.prefix.rpartition(b"#")
    if settings.prefix and not listindex.has_prefix(contents, settings.prefix):
        prefix = before + b"%d" % settings.number + after if mark else settings.prefix
        contents = b" " + prefix + contents
    return b"Subject:" + contents + b"\n"
