"""The message that tells a sender about failures, in QSBMF (the qmail-send bounce message format).

    Hi. This is the qmail-send program at HOST. ...

    <recipient>:
    report

    --- Below this line is a copy of the message.

Every paragraph before the last line of dashes is about one recipient. bounce/N holds these paragraphs.
A sender `owner-@host-@[]` is told at `owner-@host`; the empty one is a bounce, whose own failure goes to
the postmaster under the sender `#@[]`, whose failure goes to nobody.

Notices of delays and successes look alike, but do not begin with `Hi.`, by which programs know a failure.
"""

from __future__ import annotations

from qmail.formats import address

DOUBLE = b"#@[]"  # the sender of double bounces
NOBODY = frozenset((b"", DOUBLE))  # senders that hear of no success and no delay
FAILURE, DELAY, SUCCESS = b"failure notice", b"delay notice", b"success notice"  # subjects
_GREETINGS = {
    DELAY: b"This is the %b program at %b, which goes on trying.\n"
    b"I haven't been able to deliver your message to the following addresses yet.\n"
    b"There is no need to send it again.\n\n",
    SUCCESS: b"This is the %b program at %b, with good news.\n"
    b"Your message has left my hands for the following addresses.\n\n",
}


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
        return self.header(date, from_local, host) + b"\n" + self.greeting(host, program)

    def header(self, date: bytes, from_local: bytes, host: bytes, subject: bytes = FAILURE) -> bytes:
        """The header, which goes on where the notice is a MIME message."""
        sender = b"%b@%b" % (address.quote_local(from_local), host)
        return b"Date: %b\nFrom: %b\nTo: %b\nSubject: %b\n" % (date, sender, _shown(self.recipient), subject)

    def greeting(self, host: bytes, program: bytes = b"qmail-send", subject: bytes = FAILURE) -> bytes:
        """What a person reads before the paragraphs."""
        if subject in _GREETINGS:
            return _GREETINGS[subject] % (program, host)
        words = (
            b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
            b"This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
            if self._about
            else b"I tried to deliver a bounce message to this address, but the bounce bounced!\n\n"
        )
        return b"Hi. This is the %b program at %b.\n%b" % (program, host, words)

    def middle(self) -> bytes:
        """What stands between the paragraphs and the copy of the message."""
        return self.below() + b"\n" + self.return_path()

    def below(self, *, header_only: bool = False) -> bytes:
        """The line of dashes, and what it says comes next."""
        what = b"a copy of the message" if self._about else b"the original bounce"
        if header_only:
            what = b"the header of " + (b"the message" if self._about else b"the original bounce")
        return b"--- Below this line is %b.\n" % what

    def return_path(self) -> bytes:
        """The line in front of the copy."""
        return b"Return-Path: <%b>\n" % _shown(self._about)


def _shown(mailbox: bytes) -> bytes:
    """An address in a header, on one line whatever is in it."""
    return address.quote(mailbox).replace(b"\n", b"_").replace(b"\r", b"_")
