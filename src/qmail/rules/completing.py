"""What a message from somebody who has logged in lacks, put in front of it (RFC 6409 8): Date, Message-ID, From.

What is missing, and what is added, is what qmail-inject says (rules.injection); everything that was there stays
byte for byte, Bcc too: whoever sends decides who reads it (RFC 5322 3.6.3), and a signature may stand on it.
"""

from __future__ import annotations

from qmail.formats import received
from qmail.formats.header_fields import Header, name
from qmail.rules import injection
from qmail.rules.rewriting import Unparsable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.formats.header_tokens import Token
    from qmail.rules.rewriting import Hosts

MOST_HELD = 256 * 1024  # bytes of a header until nothing is missing


class Completion:
    """What the control files say: what completes addresses, and the host of new Message-IDs."""

    __slots__ = ("hosts", "id_host")

    def __init__(self, hosts: Hosts, id_host: bytes) -> None:
        self.hosts, self.id_host = hosts, id_host

    def message(self, user: bytes, sender: bytes, now: int, number: bytes) -> Completer:
        """One message that `user` sends as `sender`, `now` in seconds since 1970.

        `number`: no other message of this second has it.
        """
        # Notices have an empty sender; their author is whoever sends them.
        address = sender or user
        box, at, host = address.rpartition(b"@")
        author = injection.mailbox(box, host) if at else injection.mailbox(address, None)
        message_id = injection.message_id(now, number, self.id_host)
        return Completer(self.hosts, author, received.date(now), message_id)


class Completer:
    """One message on its way through: `feed` it, then `end`. Once it is `too_large`, nothing counts any more."""

    __slots__ = ("_author", "_date", "_header", "_held", "_hosts", "_id", "_seen", "_size", "too_large")

    def __init__(self, hosts: Hosts, author: Sequence[Token], date: bytes, message_id: bytes) -> None:
        self._hosts, self._author, self._date, self._id = hosts, author, date, message_id
        self._header: Header | None = Header()
        self._held: list[bytes] = []
        self._size = 0
        self._seen: set[bytes] = set()
        self.too_large = False  # more than may be held back

    def feed(self, text: bytes) -> bytes:
        """Take these bytes, with LF as line end; returns those that may go on."""
        if self._header is None:
            return text
        if self.too_large:
            return b""
        self._held.append(text)
        self._size += len(text)
        self._header.feed(text)
        return self._looked(self._header)

    def end(self) -> bytes:
        """Nothing more comes; returns the rest."""
        if self._header is None or self.too_large:
            return b""
        self._header.end()
        return self._looked(self._header)

    def _looked(self, header: Header) -> bytes:
        self._seen.update(name(field).lower() for field in header.taken())
        if injection.is_whole(self._seen):
            return self._done()
        self.too_large = self._size - len(header.body or b"") > MOST_HELD
        return b"" if self.too_large or header.body is None else self._done()

    def _done(self) -> bytes:
        text = b"".join(self._held)
        self._header, self._held, self._size = None, [], 0
        added = self._added()
        # What begins with no field has no header yet, and may lack the line that ends one.
        gap = b"\n" if added and not self._seen and text[:1] not in (b"\n", b"") else b""
        return added + gap + text

    def _added(self) -> bytes:
        try:
            return injection.missing(self._seen, self._date, self._id, self._author, self._hosts)
        except Unparsable:
            # A sender that no From can have: the message goes without.
            return injection.missing(self._seen, self._date, self._id, None, self._hosts)
