"""The message that tells a sender about failures, in QSBMF (the qmail-send bounce message format).

    Hi. This is the qmail-send program at HOST. ...

    <recipient>:
    report

    --- Below this line is a copy of the message.

Every paragraph before the last line of dashes is about one recipient. bounce/N holds these paragraphs.
A sender `owner-@host-@[]` is told at `owner-@host`; the empty one is a bounce, whose own failure goes to
the postmaster under the sender `#@[]`, whose failure goes to nobody.
"""

from __future__ import annotations

from qmail.formats import address

DOUBLE = b"#@[]"  # the sender of double bounces


def paragraph(recipient: bytes, report: bytes) -> bytes:
    """What bounce/N says about one recipient. No report can begin a paragraph of its own."""
    if report == b"\n":
        report = b""  # an empty line would hide the next paragraph from those who read them
    if report and not report.endswith(b"\n"):
        report += b"\n"
    text = b">:\n" + report
    # Any newline that follows a newline, except the last byte, which ends the report's last line.
    body = bytearray(text)
    at = text.find(b"\n\n")
    while 0 <= at < len(text) - 2:
        body[at + 1] = ord("/")
        at = text.find(b"\n\n", at + 1)
    return b"<" + recipient.replace(b"\n", b"_") + bytes(body) + b"\n"


class Bounce:
    """Whom to tell about a message's failures, and in which words.

    `sender`: the envelope sender of the message that failed. `envelope_sender`, `recipient`: the bounce's own.
    """

    __slots__ = ("_about", "envelope_sender", "recipient")

    def __init__(self, sender: bytes, postmaster: bytes) -> None:
        self._about = sender.removesuffix(b"-@[]")
        self.envelope_sender = b"" if self._about else DOUBLE
        self.recipient = self._about or postmaster

    def head(self, date: bytes, from_local: bytes, host: bytes, program: bytes = b"qmail-send") -> bytes:
        """Everything before the paragraphs. `date` as RFC 5322 has it; `host` is bouncehost; `program` tells it."""
        words = (
            b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
            b"This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
            if self._about
            else b"I tried to deliver a bounce message to this address, but the bounce bounced!\n\n"
        )
        return (b"Date: %b\nFrom: %b@%b\nTo: %b\nSubject: failure notice\n\nHi. This is the %b program at %b.\n%b") % (
            date,
            address.quote_local(from_local),
            host,
            _shown(self.recipient),
            program,
            host,
            words,
        )

    def middle(self) -> bytes:
        """What stands between the paragraphs and the copy of the message."""
        what = b"a copy of the message" if self._about else b"the original bounce"
        return b"--- Below this line is %b.\n\nReturn-Path: <%b>\n" % (what, _shown(self._about))


def _shown(mailbox: bytes) -> bytes:
    """An address in a header, on one line whatever is in it."""
    return address.quote(mailbox).replace(b"\n", b"_").replace(b"\r", b"_")
