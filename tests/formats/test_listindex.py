"""The index of an archive: subjects without marks, authors, threads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import listindex

OLD = (
    b"56: loljcjcijaaiehejkmbl Re: Help - parse SAS\n\t7 May 2017 21:55:22 -0000;hjgpaallnfmgdfglhbkg Amie Wunsch\n"
    b"junk\n"
    b"57: dcbfoigolhdahlbnfamb lunch\n\t7 May 2017 21:55:23 -0000;faifhibhplindcnhbpjf Abigail Cole\n"
)


def test_an_index_of_ezmlm_idx_is_read() -> None:
    first, second = listindex.entries(OLD)
    assert (first.number, first.reply, first.subject) == (56, True, b"Help - parse SAS")
    assert (first.date, first.author) == (b"7 May 2017 21:55:22 -0000", b"Amie Wunsch")
    assert first.subject_hash == b"loljcjcijaaiehejkmbl"
    assert (second.number, second.reply, second.author) == (57, False, b"Abigail Cole")
    assert first.text() + b"junk\n" + second.text() == OLD


@pytest.mark.parametrize(
    ("subject", "bare", "reply"),
    [
        (b" lunch", b"lunch", False),
        (b"Re: lunch", b"lunch", True),
        (b"RE: AW: Sv: lunch ", b"lunch", True),
        (b"Re[2]: Re(3): Re^4: lunch", b"lunch", True),
        (b"[sos 12] lunch", b"lunch", False),
        (b"Re: [sos 12] Re: [sos 3] lunch", b"lunch", True),
        (b"note: lunch", b"note: lunch", False),
        (b"a: b", b"a: b", False),
        (b"Re:", b"", True),
        (b"", b"", False),
    ],
)
def test_marks_and_prefixes_go(subject: bytes, bare: bytes, reply: bool) -> None:
    assert listindex.stripped(subject, b"[sos #]") == (bare, reply)


def test_a_reply_is_in_the_thread_of_what_it_answers() -> None:
    first = listindex.entry(1, b" Gr\xc3\xbc\xc3\x9fe  AN alle", b" Ann <a@b>", b"", b"[sos]")
    answer = listindex.entry(2, b" Re: [sos] =?utf-8?q?gr=C3=BC=C3=9Fe_an_alle?=", b" b@c (Bob)", b"", b"[sos]")
    assert first.thread == answer.thread
    assert first.subject_hash == answer.subject_hash
    assert (first.author, answer.author) == (b"Ann", b"Bob")


@pytest.mark.parametrize(
    ("field", "author"),
    [
        (b' "Doe, Joe" <joe@x>', b"Doe, Joe"),
        (b" joe@x", b"joe"),
        (b" =?utf-8?q?J=C3=B6?= <joe@x>", b"J\xc3\xb6"),
        (b" (((", b"((("),
        (b" a\n\tb <c@d>", b"a b"),
        (b"", b""),
    ],
)
def test_an_author_has_a_name(field: bytes, author: bytes) -> None:
    assert listindex.entry(1, b"x", field, b"", b"").author == author


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=20))
def test_whatever_a_header_says_the_index_has_two_lines(subject: bytes, author: bytes, prefix: bytes) -> None:
    made = listindex.entry(7, subject, author, b"date", prefix)
    assert made.text().count(b"\n") == 2
    (again,) = listindex.entries(made.text())
    assert again.number == 7
    assert again.author_hash == made.author_hash


@given(st.binary(max_size=100))
def test_whatever_an_index_holds_it_is_read(text: bytes) -> None:
    list(listindex.entries(text))
    list(listindex.entries(OLD + text + OLD))
