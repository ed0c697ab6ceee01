"""Several messages in one."""

from __future__ import annotations

import email

import pytest

from qmail.formats.digest import FORMS, Frame, table, threads
from qmail.formats.listindex import Entry

FIELDS = [b"X-Odd: 1\n", b"Subject: a\n b\n", b"From: ann\n", b"Content-Type: text/plain\n"]


def whole(form: bytes) -> bytes:
    frame = Frame(form, b"b0undary", b"us-ascii")
    head = b"Subject: all\n" + frame.content_type() + b"\n"
    body = [frame.text(b"our words\n"), frame.head(FIELDS, 7), b"seven\n", frame.head(FIELDS, 8), b"eight\n"]
    return head + b"".join(body) + frame.text(b"last words\n") + frame.end(b"sos Digest")


@pytest.mark.parametrize("form", [b"m", b"x", b"v", b"n"])
def test_a_mail_reader_finds_each_message(form: bytes) -> None:
    message = email.message_from_bytes(whole(form))
    assert message.get_content_type() == ("multipart/mixed" if form == b"x" else "multipart/digest")
    first, seven, eight, last = message.get_payload()  # type: ignore[misc]  # parts, all of them
    assert (first.get_content_type(), first.get_payload()) == ("text/plain", "our words\n")  # type: ignore[union-attr]
    assert last.get_payload() == "last words\n"  # type: ignore[union-attr]
    inner = seven.get_payload(0)  # type: ignore[union-attr]
    assert inner["Subject"] == "a\n b"
    assert inner.get_payload() == "seven\n"
    assert (inner["X-Odd"] == "1") is (form in (b"v", b"n"))
    assert eight.get_payload(0).get_payload() == "eight\n"  # type: ignore[union-attr]


def test_plain_text_is_divided_by_hyphens() -> None:
    text = whole(b"r")
    assert text.count(b"\n" + b"-" * 30 + b"\n\n") == 2
    assert text.count(b"-" * 70 + b"\n\n") == 1
    assert text.endswith(b"End of sos Digest\n*****************\n")
    assert b"X-Odd" not in text and b"From: ann\nSubject: a\n b\n" in text


def test_threads_follow_their_first_message() -> None:
    subjects = [b"lunch", b"tea", b"Lunch ", b"", b"", b"tea"]
    entries = [Entry(number, subject, False, b"", b"x") for number, subject in enumerate(subjects, 1)]
    groups = threads(entries)
    assert [[entry.number for entry in group] for group in groups] == [[1, 3], [2, 6], [4], [5]]
    text = table(groups)
    assert text.startswith(b"Topics (messages 1 through 6):\n\nlunch\n\t1 by: x\n\t3 by: x\n\ntea\n")
    assert table([]) == b""


def test_every_form_has_an_end() -> None:
    assert all(whole(form) for form in FORMS)
