"""A header as fields."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.header_fields import LARGEST, Header, TooLarge, name


def read(*pieces: bytes) -> Header:
    header = Header()
    for at, piece in enumerate(pieces):
        header.feed(piece)
        if header.body is not None:
            header.body += b"".join(pieces[at + 1 :])
            break
    header.end()
    return header


@pytest.mark.parametrize(
    ("text", "fields", "body"),
    [
        (b"", [], b""),
        (b"To: a\n", [b"To: a\n"], b""),
        (b"To: a", [b"To: a\n"], b""),
        (b"To: a\n\nx", [b"To: a\n"], b"\nx"),
        (b"To: a\n b\n\tc\nX:\n\n", [b"To: a\n b\n\tc\n", b"X:\n"], b"\n"),
        (b"To : a\n", [b"To : a\n"], b""),
        (b"hello\nTo: a\n", [], b"\nhello\nTo: a\n"),
        (b"To: a\nhello", [b"To: a\n"], b"\nhello\n"),
        (b" a\nTo: b\n", [], b"\n a\nTo: b\n"),
        (b": a\n", [], b"\n: a\n"),
        (b"a b: c\n", [], b"\na b: c\n"),
        (b"a\x01: c\n", [], b"\na\x01: c\n"),
        (b"\xff: c\n", [], b"\n\xff: c\n"),
        (b"From x y\nTo: a\n\n", [b"MBOX-Line: From x y\n", b"To: a\n"], b"\n"),
        (b"To: a\n\r\nb\n", [b"To: a\n"], b"\n\r\nb\n"),
        (b"\n\nx", [], b"\n\nx"),
    ],
)
def test_fields_keep_their_bytes(text: bytes, fields: list[bytes], body: bytes) -> None:
    for header in (read(text), read(*(text[at : at + 1] for at in range(len(text))))):
        assert (header.fields, header.body) == (fields, body)


def test_a_name_ends_before_the_blanks_before_the_colon() -> None:
    assert name(b"To \t: a\n") == b"To"
    assert name(b"To a: b\n") == b""
    assert name(b"To\n") == b""


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"To: a\n", b"\n", b" x\n", b"From b\n"]), max_size=8))
def test_nothing_is_lost(pieces: list[bytes]) -> None:
    header = read(*pieces)
    text = b"".join(pieces)
    kept = b"".join(field.removeprefix(b"MBOX-Line: ") for field in header.fields)
    assert header.body is not None
    whole = kept + header.body
    # What may have been added is the empty line before the body, and the last newline.
    added = kept + header.body[1:]
    assert text in (whole, whole[:-1]) or text in (added, added[:-1])


def test_fault_070_a_million_lines_are_read_soon() -> None:
    begin = time.monotonic()
    header = read(b"X: y\n" * 1_000_000, b"\nbody\n")
    assert len(header.fields) == 1_000_000
    assert time.monotonic() - begin < 20


def test_a_body_does_not_count_for_the_header() -> None:
    header = Header()
    header.feed(b"X: " + b"a" * (LARGEST - 4) + b"\n" + b"\nbody\n" * 1000)
    header.feed(b"more" * LARGEST)
    assert len(header.fields[0]) == LARGEST
    with pytest.raises(TooLarge):
        Header().feed(b"X: " + b"a" * (LARGEST - 3) + b"\n\n")


def test_a_header_has_a_limit() -> None:
    header = Header()
    with pytest.raises(TooLarge):
        for _ in range(LARGEST // 65536 + 1):
            header.feed(b"a" * 65536)
