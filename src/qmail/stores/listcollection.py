"""Messages out of a list's archive, put together into one (formats.digest)."""

from __future__ import annotations

import os

from qmail.formats.digest import FORMS, Frame, table, threads
from qmail.formats.header_fields import Header, TooLarge
from qmail.formats.listindex import Entry
from qmail.formats.verdict import Permanent
from qmail.stores import listarchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qmail.stores.listdir import MailingList


class Collection:
    """The messages that `found` speaks of, in the form that is asked for, else the list's own (`m` where it has none).

    `groups`: those that are there, as they follow each other.
    """

    def __init__(self, mlist: MailingList, found: Sequence[Entry], form: bytes) -> None:
        self._mlist = mlist
        own = (mlist.line(b"digformat") or b"m")[:1]
        form = form or (own if own in FORMS else b"m")
        charset = (mlist.line(b"charset") or b"us-ascii").partition(b":")[0]
        fields = [line.rstrip(b":").lower() for line in mlist.lines(b"digheaders")]
        self.frame = Frame(form, os.urandom(15).hex().encode(), charset, fields)
        there = [entry for entry in found if listarchive.is_whole(mlist, entry.number)]
        self.groups = threads(there) if self.frame.by_threads else [[entry] for entry in there]

    def pieces(self, start: bytes, end: bytes, title: bytes) -> Iterator[bytes]:
        """The body: our own words, the messages, our own words again. Raises Temporary."""
        yield self.frame.text(start + (table(self.groups) if self.frame.by_threads else b""))
        for group in self.groups:
            for entry in group:
                yield from self._message(entry.number)
        if end:
            yield self.frame.text(end)
        yield self.frame.end(title)

    def _message(self, found: int) -> Iterator[bytes]:
        header = Header()
        rest = listarchive.pieces(self._mlist, found)
        try:
            for piece in rest:
                header.feed(piece)
                if header.body is not None:
                    break
            header.end()
        except TooLarge as error:
            raise Permanent(str(error).encode()) from None
        yield self.frame.head(header.fields, found)
        yield (header.body or b"").removeprefix(b"\n")
        yield from rest


def entries(mlist: MailingList, first: int, last: int) -> list[Entry]:
    """What the index says of these messages; of those that it does not know only their numbers. Raises Temporary."""
    known: dict[int, Entry] = {}
    for section in range(first // 100, last // 100 + 1):
        known |= {entry.number: entry for entry in listarchive.index(mlist, section)}
    return [known.get(found) or Entry(found, b"", False, b"", b"") for found in range(first, last + 1)]
