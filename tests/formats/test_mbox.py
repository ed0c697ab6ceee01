"""From_ lines, and the quoting of lines that look like one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.mbox import Quoter, ctime, from_line


def quoted(pieces: list[bytes]) -> bytes:
    quoter = Quoter()
    return b"".join(quoter.feed(piece) for piece in pieces) + quoter.end()


def test_a_from_line_has_a_sender_without_blanks_and_a_date_in_gmt() -> None:
    assert from_line(b"a b\tc\n@h", 1599455167) == b"From a-b-c-@h Mon Sep 07 05:06:07 2020\n"
    assert from_line(b"", 0) == b"From MAILER-DAEMON Thu Jan 01 00:00:00 1970\n"
    assert ctime(951868799) == b"Tue Feb 29 23:59:59 2000"


@pytest.mark.parametrize(
    ("message", "written"),
    [
        (b"", b""),
        (b"a\n", b"a\n"),
        (b"a", b"a\n"),
        (b"From x\n", b">From x\n"),
        (b">>From x\n", b">>>From x\n"),
        (b"a From x\n", b"a From x\n"),
        (b"> From x\n", b"> From x\n"),
        (b"from x\nFrom\n", b"from x\nFrom\n"),
        (b"a\n\n>From ", b"a\n\n>>From \n"),
        (b"Fro", b"Fro\n"),
    ],
)
def test_lines_like_a_from_line_get_one_more_mark(message: bytes, written: bytes) -> None:
    assert quoted([message]) == written


pieces = st.lists(st.sampled_from([b"From ", b">", b"\n", b"F", b"ro", b"m ", b"x", b">From x\n", b" "]), max_size=12)


@given(pieces, pieces)
def test_pieces_do_not_matter_and_the_marks_can_be_taken_away_again(first: list[bytes], second: list[bytes]) -> None:
    message = b"".join(first) + b"".join(second)
    whole = quoted([message])
    assert quoted([b"".join(first), b"".join(second)]) == whole
    assert quoted(first + second) == whole
    assert quoted([message[at : at + 1] for at in range(len(message))]) == whole
    assert re.sub(rb"(?m)^>(>*From )", rb"\1", whole) == message + b"\n" * (message[-1:] not in (b"", b"\n"))
    assert not re.search(rb"(?m)^From ", whole)
