"""What qmail-inject makes of a message's header (qmail-header(5), qmail-inject(8)).

Fields with addresses are rewritten, a few are taken out, what is missing is put in front; every other
field stays as it came, byte for byte and in its place.
"""

from __future__ import annotations

from qmail.formats import address
from qmail.formats.header_fields import name
from qmail.formats.header_tokens import (
    AT,
    ATOM,
    COLON,
    COMMENT,
    GREATER,
    LESS,
    MOST,
    QUOTED,
    Malformed,
    TooMany,
    escaped,
    spoken,
    tokens,
    written,
)
from qmail.formats.received import stamp
from qmail.rules.rewriting import Unparsable, readable, rewrite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from qmail.formats.header_tokens import Token
    from qmail.rules.rewriting import Hosts

    Completed = Callable[[Sequence[Token]], list[Token]]

_COLON, _AT, _LESS, _GREATER = (COLON, b":"), (AT, b"@"), (LESS, b"<"), (GREATER, b">")
_SENDERS = frozenset((
    b"sender", b"from", b"reply-to", b"return-receipt-to", b"errors-to",
    b"resent-sender", b"resent-from", b"resent-reply-to",
))  # fmt: skip
_VISIBLE = frozenset((b"to", b"cc"))
_RECIPIENTS = _VISIBLE | {b"bcc", b"apparently-to"}
_RESENT_RECIPIENTS = frozenset((b"resent-to", b"resent-cc", b"resent-bcc"))
_RESENT = _RESENT_RECIPIENTS | {
    b"resent-sender", b"resent-from", b"resent-reply-to", b"resent-date", b"resent-message-id",
}  # fmt: skip
_NEEDED = (b"date", b"message-id", b"from")
_REMOVED = frozenset((b"bcc", b"resent-bcc", b"return-path", b"content-length"))


class Injection:
    """One message's header on its way through. `take` each field, then ask.

    `sender`: what the first Return-Path says, or None. `ignored`: names, in lower case, of fields that are
    thrown away unread.
    """

    def __init__(self, hosts: Hosts, ignored: Iterable[bytes] = ()) -> None:
        self._hosts, self._ignored = hosts, frozenset(ignored)
        self._seen: set[bytes] = set()
        self._kept = bytearray()
        self._words = 0  # in fields with addresses
        self._recipients: list[bytes] = []
        self._resent_recipients: list[bytes] = []
        self._visible: list[bytes] = []  # in To and Cc
        self.sender: bytes | None = None

    def take(self, field: bytes) -> None:
        """One field with its newline. Raises TooMany, and Unparsable where it names senders and cannot be read.

        A field of recipients that cannot be read stays as it is: it may come from a stranger, and the message
        is on its way to somebody else.
        """
        kind = name(field).lower()
        if kind in self._ignored:
            return
        self._seen.add(kind)
        if kind in _SENDERS or kind == b"return-path":
            try:
                field = self._rewritten(field, self._return if kind == b"return-path" else self._hosts.completed)
            except Malformed:
                raise Unparsable(field) from None
        elif kind in _RECIPIENTS or kind in _RESENT_RECIPIENTS:
            lists = [self._recipients if kind in _RECIPIENTS else self._resent_recipients]
            if kind in _VISIBLE:
                lists.append(self._visible)
            try:
                field = self._rewritten(field, lambda words: self._collected(words, lists))
            except Malformed:
                pass
        if kind not in _REMOVED:
            self._kept += field

    def _rewritten(self, field: bytes, completed: Completed) -> bytes:
        written_name = name(field)
        words = tokens(field[field.index(b":") + 1 : -1])
        self._words += len(words)
        if self._words > MOST:
            raise TooMany(f"more than {MOST} words in fields with addresses")
        return written_name + written([_COLON, *rewrite(words, completed)], column=len(written_name)) + b"\n"

    def _return(self, words: Sequence[Token]) -> list[Token]:
        found = self._hosts.completed(words)
        if self.sender is None:
            self.sender = spoken(found)
        return found

    def _collected(self, words: Sequence[Token], lists: list[list[bytes]]) -> list[Token]:
        found = self._hosts.completed(words)
        recipient = spoken(found)
        for one in lists:
            one.append(recipient)
        return found

    @property
    def resent(self) -> bool:
        """Does somebody send on a message that he was sent?"""
        return bool(_prefix(self._seen))

    @property
    def recipients(self) -> list[bytes]:
        """Whom the header says it goes to; the last of each field first."""
        return self._resent_recipients if self.resent else self._recipients

    def followup(self, lists: frozenset[bytes]) -> bytes:
        """Mail-Followup-To, where To and Cc name one of these lists (addresses in lower case); else nothing."""
        if self.resent or b"mail-followup-to" in self._seen:
            return b""
        if lists.isdisjoint(one.lower() for one in self._visible):
            return b""
        everyone = [address.quote(one) for one in reversed(self._visible) if one]
        return b"Mail-Followup-To: " + b",\n  ".join(everyone) + b"\n"

    def header(self, date: bytes, message_id: bytes, author: Sequence[Token], lists: frozenset[bytes]) -> bytes:
        """The whole new header. `author` goes into From where there is none."""
        prefix = _prefix(self._seen)
        low = prefix.lower()
        new = [missing(self._seen, date, message_id, author, self._hosts)]
        if low + b"to" not in self._seen and low + b"cc" not in self._seen:
            new.append(prefix + b"Cc: recipient list not shown: ;\n")
        new.append(self.followup(lists))
        return b"".join(new) + self._kept


def missing(
    seen: Container[bytes], date: bytes, message_id: bytes, author: Sequence[Token] | None, hosts: Hosts
) -> bytes:
    """The fields Date, Message-ID and From that are not among `seen`, names in lower case; of a message that is sent
    on, Resent-Date and so on. Without an `author` no From.

    Raises Unparsable where From is missing, and `author` cannot be one.
    """
    prefix = _prefix(seen)
    low = prefix.lower()
    new = []
    if low + b"date" not in seen:
        new.append(prefix + b"Date: " + date + b"\n")
    if low + b"message-id" not in seen:
        new.append(prefix + b"Message-ID: " + message_id + b"\n")
    if author is not None and low + b"from" not in seen:
        try:
            words = rewrite(author, hosts.completed)
        except Malformed:
            raise Unparsable(b"From" + written([_COLON, *author], column=4) + b"\n") from None
        new.append(prefix + b"From" + written([_COLON, *words], column=len(prefix) + 4) + b"\n")
    return b"".join(new)


def is_whole(seen: Container[bytes]) -> bool:
    """Would `missing` add nothing?"""
    low = _prefix(seen).lower()
    return all(low + name in seen for name in _NEEDED)


def message_id(now: int, number: bytes, host: bytes) -> bytes:
    """A new one. `now`: seconds since 1970; `number`: no other message of this second has it."""
    return b"<%b.%b.qmail@%b>" % (stamp(now), number, host)


def _prefix(seen: Container[bytes]) -> bytes:
    # A message that somebody sends on has fields of its own for that.
    return b"Resent-" if any(name in seen for name in _RESENT) else b""


def mailbox(box: bytes, host: bytes | None) -> list[Token]:
    """The words of an address made from the user's name and host; without a host it is left to be completed.

    The host is taken letter by letter: nothing in it is a quotation or a comment, only a whole `[...]` is a literal.
    """
    words: list[Token] = [(QUOTED if address.needs_quotes(box) else ATOM, box)]
    if host is not None:
        literal = host[:1] == b"[" and host[-1:] == b"]" and host[1:-1] == host[1:-1].translate(None, b"[]\\ \t")
        words += [_AT, *readable(host if literal else escaped(host))]
    return words


def author(words: Sequence[Token], person: bytes | None, *, as_comment: bool) -> list[Token]:
    """The words of a From field: `"Person" <address>`, or `address (Person)`, or the address alone."""
    if person is None:
        return list(words)
    if as_comment:
        return [*words, (COMMENT, person)]
    return [(QUOTED, person), _LESS, *words, _GREATER]


def envelope_sender(hosts: Hosts, words: Sequence[Token]) -> bytes:
    """The words of a user's address as the envelope has it. Raises Unparsable."""
    first: list[bytes] = []

    def completed(address: Sequence[Token]) -> list[Token]:
        found = hosts.completed(address)
        first.append(spoken(found))
        return found

    try:
        rewrite(words, completed)
    except Malformed:
        box = (QUOTED, words[0][1])
        raise Unparsable(b"Return-Path" + written([_COLON, box, *words[1:]]) + b"\n") from None
    return first[0] if first else b""


def argument(hosts: Hosts, text: bytes) -> bytes:
    """An address given on the command line, completed. The box is taken as it is. Raises Unparsable."""
    return spoken(hosts.completed(readable(address.quote(text))))
