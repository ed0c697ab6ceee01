"""The lines in front of a delivered message, and the one that proves a loop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.tracelines import delivered_to, in_header, return_path

LINE = b"Delivered-To: joe@example.org\n"


def test_fault_068_a_line_break_in_an_address_cannot_begin_a_line() -> None:
    assert delivered_to(b"a\nb\rc@h") == b"Delivered-To: a_b_c@h\n"
    assert return_path(b"a\r\nb@h").split(b"\n")[1:] == [b""]
    assert b"\r" not in return_path(b"a\r\nb@h")
    assert return_path(b"") == b"Return-Path: <>\n"


@pytest.mark.parametrize(
    ("message", "there"),
    [
        (LINE + b"\nx", True),
        (b"A: b\n" + LINE + b"\n", True),
        (LINE, True),
        (LINE[:-1], False),
        (b"\n" + LINE, False),
        (b"A: b\n\n" + LINE, False),
        (b"A: b\n " + LINE + b"\n", False),
        (LINE.lower(), False),
        (b" " + LINE, False),
        (LINE.replace(b"\n", b"\r\n"), False),
        (b"", False),
    ],
)
def test_only_the_whole_line_in_the_header_counts(message: bytes, there: bool) -> None:
    assert in_header(LINE, [message]) is there


@given(st.lists(st.sampled_from([LINE, LINE[:9], LINE[9:], b"\n", b"A: b\n", b"x"]), max_size=8))
def test_pieces_do_not_matter(pieces: list[bytes]) -> None:
    message = b"".join(pieces)
    head = message if message[:1] != b"\n" else b""
    head = head.partition(b"\n\n")[0] + b"\n" if b"\n\n" in head else head
    expected = b"\n" + LINE in b"\n" + head
    assert in_header(LINE, pieces) is expected
    assert in_header(LINE, [message[at : at + 1] for at in range(len(message))]) is expected
