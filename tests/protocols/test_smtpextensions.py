"""protocols.smtpextensions: what is announced can be kept."""

from __future__ import annotations

from qmail.formats.received import Origin
from qmail.protocols import recipients
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpenvelope import Envelope
from qmail.protocols.smtpextensions import FEWEST_RECIPIENTS, KNOWN, known
from qmail.protocols.smtpparameters import Terms
from qmail.protocols.smtppath import LONGEST
from qmail.protocols.smtpsite import Client, Site
from qmail.rules.relay import Door


def test_as_many_recipients_as_limits_says_have_room_at_their_longest_with_all_parameters() -> None:
    client = Client(Origin(b"c.example", b"192.0.2.7", None, b"h"))
    envelope = Envelope(Site(b"h", Door([b"example.org"])), client)
    terms = Terms(0, known(KNOWN), secured=True)
    assert envelope.mail(b"FROM:<a@b>", b"", lambda: terms) == reply.OK
    address = b"x" * (LONGEST - len(b"@example.org")) + b"@example.org"
    words = b" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;" + b"y" * 493
    for number in range(FEWEST_RECIPIENTS):
        assert envelope.rcpt(b"TO:<%b>%b" % (address, words), lambda: terms) == b"", number
        assert envelope.answered(recipients.TAKEN) == reply.OK
    assert len(envelope.recipients) == len(envelope.wishes) == FEWEST_RECIPIENTS


def test_a_word_is_known_in_any_case_and_others_are_nothing() -> None:
    assert known([b"chunking", b"LIMITS", b"BINARYMIME", b""]) == {b"CHUNKING", b"LIMITS"}
