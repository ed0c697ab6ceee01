"""The failure notice, in the words and the paragraphs of QSBMF."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.bounce import Bounce, paragraph


@pytest.mark.parametrize(
    ("recipient", "report", "text"),
    [
        (b"joe@x", b"no such luck\n", b"<joe@x>:\nno such luck\n\n"),
        (b"joe@x", b"no newline", b"<joe@x>:\nno newline\n\n"),
        (b"joe@x", b"", b"<joe@x>:\n\n"),
        (b"a\nb\xff c%@x", b"r\n", b"<a_b\xff c%@x>:\nr\n\n"),
        (b"j@x", b"one\n\ntwo\n", b"<j@x>:\none\n/two\n\n"),
        (b"j@x", b"one\n\n\ntwo", b"<j@x>:\none\n//two\n\n"),
        (b"j@x", b"\nfirst blank", b"<j@x>:\n/first blank\n\n"),
        (b"j@x", b"one\n\n", b"<j@x>:\none\n\n\n"),
        (b"j@x", b"a\n\n--- Below this line is a copy", b"<j@x>:\na\n/--- Below this line is a copy\n\n"),
    ],
)
def test_a_paragraph_holds_one_recipient_and_its_report(recipient: bytes, report: bytes, text: bytes) -> None:
    assert paragraph(recipient, report) == text


@given(st.binary(max_size=40), st.binary(max_size=60))
def test_fault_078_no_report_begins_a_paragraph_of_its_own(recipient: bytes, report: bytes) -> None:
    text = paragraph(recipient, report)
    assert text.endswith(b"\n\n")
    assert b"\n\n" not in text.rstrip(b"\n")


def test_a_sender_is_told_politely() -> None:
    bounce = Bounce(b"ann@here.example", b"postmaster@here.example")
    assert (bounce.envelope_sender, bounce.recipient) == (b"", b"ann@here.example")
    assert bounce.head(b"7 Sep 2020 05:06:07 -0000", b"MAILER-DAEMON", b"here.example") == (
        b"Date: 7 Sep 2020 05:06:07 -0000\n"
        b"From: MAILER-DAEMON@here.example\n"
        b"To: ann@here.example\n"
        b"Subject: failure notice\n"
        b"\n"
        b"Hi. This is the qmail-send program at here.example.\n"
        b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        b"This is a permanent error; I've given up. Sorry it didn't work out.\n"
        b"\n"
    )
    assert bounce.middle() == b"--- Below this line is a copy of the message.\n\nReturn-Path: <ann@here.example>\n"


def test_the_failure_of_a_bounce_goes_to_the_postmaster() -> None:
    bounce = Bounce(b"", b"postmaster@here.example")
    assert (bounce.envelope_sender, bounce.recipient) == (b"#@[]", b"postmaster@here.example")
    assert b"I tried to deliver a bounce message to this address, but the bounce bounced!\n\n" in bounce.head(
        b"", b"MAILER-DAEMON", b"h"
    )
    assert bounce.middle() == b"--- Below this line is the original bounce.\n\nReturn-Path: <>\n"


def test_a_list_owner_is_told_without_the_mark_for_variable_senders() -> None:
    bounce = Bounce(b"owner-@host-@[]", b"postmaster@x")
    assert (bounce.envelope_sender, bounce.recipient) == (b"", b"owner-@host")
    assert b"Return-Path: <owner-@host>\n" in bounce.middle()


def test_odd_names_are_quoted_in_the_header() -> None:
    head = Bounce(b"a b@x", b"p").head(b"", b"Mail Daemon", b"h")
    assert b'From: "Mail Daemon"@h\nTo: "a b"@x\n' in head


def test_fault_068_a_line_break_in_a_sender_begins_no_field() -> None:
    bounce = Bounce(b"a\nBcc: c@d\r\n\r\nx@y", b"p")
    assert b"\nBcc" not in bounce.head(b"", b"m", b"h") + bounce.middle()
    assert b"\r" not in bounce.head(b"", b"m", b"h") + bounce.middle()
