"""What a list does to a header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.encodedwords import decoded
from qmail.rules import listheader
from qmail.rules.listheader import Settings, edited, refusal

FIELDS = [
    b"Received: one; 1 Jan 2020 00:00:00 -0000\n",
    b"Received: two; 2 Jan\n",
    b"Return-Path: <x>\n",
    b"subject:  Re: lunch\n",
    b"From: ann@x\n",
    b"X-A: 1\n 2\n",
]


def settings(**more: object) -> Settings:
    made = Settings()
    made.fields = [b"Mailing-List: l\n"]
    made.delivered_to = b"Delivered-To: mailing list l@h\n"
    made.removed = frozenset((b"return-path",))
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_own_fields_come_first_and_unwanted_ones_go() -> None:
    made = edited(FIELDS, settings())
    assert made.sent == [b"Mailing-List: l\n", FIELDS[0], b"Subject:  Re: lunch\n", *FIELDS[4:]]
    assert made.archived == [b"Delivered-To: mailing list l@h\n", *FIELDS[:2], *FIELDS[3:]]
    assert made.received == b"1 Jan 2020 00:00:00 -0000"
    assert made.contents[b"from"] == b" ann@x"


def test_received_fields_may_all_go_on() -> None:
    assert edited(FIELDS, settings(received=True)).sent[1:3] == FIELDS[:2]


def test_only_some_fields_may_stay() -> None:
    made = edited(FIELDS, settings(kept=frozenset((b"from",))))
    assert made.sent[1:] == [FIELDS[0], b"From: ann@x\n"]


@pytest.mark.parametrize(
    ("prefix", "subject", "expected"),
    [
        (b"[l]", b"Subject: lunch\n", b"Subject: [l] lunch\n"),
        (b"[l]", b"Subject: Re: [l] lunch\n", b"Subject: Re: [l] lunch\n"),
        (b"[l]", b"Subject: =?utf-8?q?Re=3A_=5Bl=5D?= x\n", b"Subject: =?utf-8?q?Re=3A_=5Bl=5D?= x\n"),
        (b"[l #]", b"Subject: Re: [l 3] lunch\n", b"Subject: Re: [l 3] lunch\n"),
        (b"[l #]", b"Subject: [l x] lunch\n", b"Subject: [l 12] [l x] lunch\n"),
        (b"[l]", b"X: y\n", b"Subject: [l]\n"),
        (b"[l]", b"Subject: a\n b\n", b"Subject: [l] a\n b\n"),
    ],
)
def test_a_prefix_comes_once(prefix: bytes, subject: bytes, expected: bytes) -> None:
    made = edited([subject], settings(prefix=prefix, number=12))
    assert expected in made.sent
    if subject.startswith(b"Subject"):
        assert subject in made.archived


def test_what_comes_from_a_list_or_was_here_is_refused() -> None:
    marked = [*FIELDS, b"MAILING-list: other\n"]
    here = [*FIELDS, b"Delivered-To: mailing list l@h\n"]
    assert refusal(FIELDS, settings()) is None
    assert refusal(marked, settings()) == listheader.ALREADY
    assert refusal(here, settings()) == listheader.LOOPING
    assert refusal(FIELDS, settings(sublist=True)) == listheader.NOT_FROM_PARENT
    assert refusal(marked, settings(sublist=True)) is None
    assert refusal(FIELDS, settings(sublist=True, mark=b"x-a")) is None
    assert refusal(here + marked, settings(sublist=True)) == listheader.LOOPING


@pytest.mark.parametrize(
    ("author", "answered", "reply", "expected"),
    [
        (b"", b"l@h", b"Reply-To: me\n", [b"From: Ann <a@x>\n", b"Reply-To: <l@h>\n"]),
        (b"l@h", b"", b"", [b'From: "Ann via l" <l@h>\n', b"Reply-To: Ann <a@x>\n"]),
        (b"l@h", b"", b"Reply-To: me\n", [b'From: "Ann via l" <l@h>\n', b"Reply-To: me\n"]),
        (b"l@h", b"l@h", b"", [b'From: "Ann via l" <l@h>\n', b"Reply-To: <l@h>, Ann <a@x>\n"]),
        (b"", b"", b"Reply-To: me\n", [b"From: Ann <a@x>\n", b"From: two\n", b"Reply-To: me\n"]),
    ],
)
def test_answers_go_where_they_should(author: bytes, answered: bytes, reply: bytes, expected: list[bytes]) -> None:
    fields = [b"From: Ann <a@x>\n", b"From: two\n", *([reply] if reply else [])]
    made = edited(fields, settings(author=author, answered=answered))
    sent = made.sent[1:]
    assert sent == expected if author or not answered else sent == [expected[0], b"From: two\n", expected[1]]
    assert made.archived[1:] == fields


def test_names_that_are_no_ascii_are_encoded() -> None:
    made = edited([b"From: =?utf-8?q?J=C3=B6rg_Gro=C3=9F-Sch=C3=BCtte?= <j@x>\n"], settings(author=b"l@h"))
    field = made.sent[1]
    assert field.isascii()
    assert decoded(field).startswith("From: Jörg Groß-Schütte via l <l@h>".encode())


NAME = st.sampled_from([b"Subject", b"From", b"X-A", b"Received", b"To", b"Return-Path"])


@given(st.lists(st.tuples(NAME, st.binary(max_size=10).map(lambda text: text.replace(b"\n", b"\n "))), max_size=8))
def test_every_field_is_one_that_came_or_one_of_ours(pairs: list[tuple[bytes, bytes]]) -> None:
    fields = [name + b":" + contents + b"\n" for name, contents in pairs]
    made = edited(fields, settings())
    assert all(field in fields or field.startswith(b"Subject:") for field in made.sent[1:])
    assert len(made.archived) == 1 + sum(name != b"Return-Path" for name, _ in pairs)
