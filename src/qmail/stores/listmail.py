"""Messages that a list's programs read and send: the one on descriptor 0, and answers to it.

Nothing is answered that comes from a program (no sender) or from a list (a Mailing-List field), so that two of them
never talk to each other without end.
"""

from __future__ import annotations

import os

from qmail.formats import received, subscriber
from qmail.formats.address import quote
from qmail.formats.header_fields import Header, TooLarge, name
from qmail.formats.listaddress import mailto
from qmail.formats.verdict import Permanent, Temporary
from qmail.host import clock, fds
from qmail.host.reasons import reason
from qmail.stores import submission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qmail.stores.home import Home
    from qmail.stores.listdir import MailingList

LONGEST_COPY = 64 * 1024  # bytes of a message that are copied into an answer

BOUNCE = b"I do not answer or send on notices of failure: they have no sender. (#5.7.2)"
FROM_LIST = b"I do not answer what comes from a mailing list: this message has a Mailing-List field. (#5.7.2)"
NOBODY = b"I do not answer senders that are no address of a person. (#5.7.2)"


class Incoming:
    """The message on descriptor 0. `fields`: of its header, each with its newline; the body can be read once."""

    def __init__(self) -> None:
        """Read the header. Raises Permanent where it is too large, Temporary where it cannot be read."""
        self._header = Header()
        try:
            while self._header.body is None:
                data = os.read(0, fds.CHUNK)
                if data:
                    self._header.feed(data)
                else:
                    self._header.end()
        except OSError as error:
            raise Temporary(b"unable to read message: " + reason(error)) from error
        except TooLarge as error:
            raise Permanent(str(error).encode()) from None
        self.fields = self._header.fields

    def body(self) -> Iterator[bytes]:
        """The body in pieces, without the empty line in front of it. Raises Temporary."""
        first = (self._header.body or b"").removeprefix(b"\n")
        try:
            if first:
                yield first
            yield from fds.chunks(0)
        except OSError as error:
            raise Temporary(b"unable to read message: " + reason(error)) from error

    def contents(self, wanted: bytes) -> bytes | None:
        """The contents of the first field of this name (in small letters); None where there is none."""
        field = next((field for field in self.fields if name(field).lower() == wanted), None)
        return None if field is None else field.partition(b":")[2].rstrip(b"\n")

    def excerpt(self, sender: bytes, lines: int) -> bytes:
        """The header behind a Return-Path line, and so many lines of the body."""
        text = b"Return-Path: <%b>\n" % quote(sender).replace(b"\n", b"_") + b"".join(self.fields) + b"\n"
        held = b""
        for piece in self.body() if lines else ():
            held += piece
            if held.count(b"\n") >= lines or len(held) > LONGEST_COPY:
                break
        text += b"".join(held.splitlines(keepends=True)[:lines])
        return text[:LONGEST_COPY] if len(text) > LONGEST_COPY else text


def sender(environ: Mapping[bytes, bytes]) -> bytes:
    """SENDER, to whom an answer may be sent. Raises Permanent where nobody is to be answered."""
    told = environ.get(b"SENDER")
    if told is None:
        raise Permanent(b"SENDER not set")
    if told in (b"", b"#@[]"):
        raise Permanent(BOUNCE)
    if not subscriber.fit(told):
        raise Permanent(NOBODY)
    return told


class Reply:
    """A message to be put together and sent: fields first, then text."""

    def __init__(self, mlist: MailingList, to: bytes, subject: bytes, *, author: bytes = b"help") -> None:
        """`author`: what stands behind the list's name in From."""
        now = int(clock.now())
        host = mlist.host
        self._mlist, self.to = mlist, to
        self._body: list[bytes] = []
        self.fields = [
            b"Mailing-List: %b\n" % mlist.mailing_list(),
            *((b"List-ID: %b\n" % told,) if (told := mlist.line(b"listid")) else ()),
            b"List-Help: %b\n" % mailto(b"%b-help@%b" % (mlist.name, host)),
            b"List-Post: %b\n" % mailto(mlist.address),
            b"List-Subscribe: %b\n" % mailto(b"%b-subscribe@%b" % (mlist.name, host)),
            b"Date: %b\n" % received.date(now),
            b"Message-ID: <%d.%d.ezmlm@%b>\n" % (now, os.getpid(), host),
            b"From: %b\n" % quote(b"%b-%b@%b" % (mlist.name, author, host)),
            b"To: %b\n" % quote(to),
            b"Subject: %b\n" % subject,
            b"Auto-Submitted: auto-replied\n",  # RFC 3834 5
            b"Delivered-To: responder for %b@%b\n" % (mlist.name, host),
        ]

    def add(self, *texts: bytes) -> None:
        """More of the body."""
        self._body += texts

    def send(self, home: Home, environ: Mapping[bytes, bytes], envelope: bytes, recipients: Iterable[bytes]) -> int:
        """Queue it from `envelope`; its qp. Raises Permanent or Temporary."""
        charset, _, code = (self._mlist.line(b"charset") or b"us-ascii").partition(b":")
        text = b"".join(self._body)
        kind = b"text/plain; charset=%b" % charset
        text, how = _encoded(text, code.upper())
        head = [*self.fields, b"MIME-Version: 1.0\nContent-Type: %b\n" % kind, how, b"\n"]
        return send(home, environ, [b"".join(head), text], envelope, recipients)


def send(
    home: Home, environ: Mapping[bytes, bytes], pieces: Iterable[bytes], envelope: bytes, recipients: Iterable[bytes]
) -> int:
    """Queue a message; its qp. Raises Permanent or Temporary, saying what the queue said."""
    try:
        message = submission.begin(home, environ)
    except OSError as error:
        raise Temporary(b"unable to fork: " + reason(error)) from error
    try:
        for piece in pieces:
            message.write(piece)
    except BaseException:
        message.abandon()
        raise
    outcome = message.finish(envelope, recipients)
    if words := submission.words(outcome):
        raise (Permanent if words.startswith(b"D") else Temporary)(words[1:])
    return outcome.qp


def _encoded(text: bytes, code: bytes) -> tuple[bytes, bytes]:
    """The body as it is sent, and the field that says how."""
    if code == b"Q":
        from binascii import b2a_qp

        return b2a_qp(text, istext=True), b"Content-Transfer-Encoding: quoted-printable\n"
    if code == b"B":
        from binascii import b2a_base64

        lines = [b2a_base64(text[at : at + 57]) for at in range(0, len(text), 57)]
        return b"".join(lines), b"Content-Transfer-Encoding: base64\n"
    return text, b""
