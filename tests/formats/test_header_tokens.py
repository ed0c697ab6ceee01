"""The words of a header field."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.header_tokens import (
    AT,
    ATOM,
    COLON,
    COMMA,
    COMMENT,
    DOT,
    GREATER,
    LESS,
    LITERAL,
    QUOTED,
    SEMICOLON,
    Malformed,
    TooMany,
    spoken,
    tokens,
    written,
)

PIECES = [
    b"a", b"bob", b'"q r"', b'"q\\"r"', b"(c)", b"(c(d)e)", b"[1.2.3.4]", b"[]", b"@", b".", b",", b":", b";", b"<",
    b">", b" ", b"\n ", b"+", b"\\a", b"\\\\", b"\\ ", b"\\,", b"\\.", b"\\(", b"\\\n ", b"(", b")", b'"', b"]", b"[",
    b"\xff", b"\x00", b"e+", b"<@r,@s:a@b>", b"N M <n@m>",
]  # fmt: skip
FIELDS = st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join) | st.binary(max_size=60)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b" \t\r\n ", []),
        (b"a.b@c", [(ATOM, b"a"), (DOT, b"."), (ATOM, b"b"), (AT, b"@"), (ATOM, b"c")]),
        (b"g:<>,;", [(ATOM, b"g"), (COLON, b":"), (LESS, b"<"), (GREATER, b">"), (COMMA, b","), (SEMICOLON, b";")]),
        (b'"a\\"b(" c', [(QUOTED, b'a"b('), (ATOM, b"c")]),
        (b"(a(b)\\)c)", [(COMMENT, b"ab)c")]),
        (b"[a[\\]b]", [(LITERAL, b"a[]b")]),
        (b"ann]", [(QUOTED, b"ann]")]),
        (b"a\\(b", [(ATOM, b"a(b")]),
        (b"a\\,b", [(QUOTED, b"a,b")]),
        (b"caf\xc3\xa9", [(QUOTED, b"caf\xc3\xa9")]),
        (b"a\\", [(ATOM, b"a")]),
        (b"a\\\n b", [(ATOM, b"a"), (ATOM, b"b")]),
        (b"\\", []),
    ],
)
def test_words_are_told_apart(text: bytes, found: list[tuple[int, bytes]]) -> None:
    assert tokens(text) == found


@pytest.mark.parametrize("text", [b"(", b'"a', b"[", b")", b"]", b"a )", b'"\\"', b"((a)", b"(\\", b"<a@b> ]"])
def test_what_is_opened_must_be_closed(text: bytes) -> None:
    with pytest.raises(Malformed):
        tokens(text)


@pytest.mark.parametrize(
    ("text", "again"),
    [
        (b"a  <b@c>", b"a <b@c>"),
        (b"a<b>(x)", b"a <b>(x)"),
        (b"g:a,b;", b"g: a, b;"),
        (b'(say "hi" [x])', b'(say \\"hi\\" \\[x\\])'),
        (b"a\\ b", b'"a b"'),
    ],
)
def test_tokens_are_written_with_few_blanks(text: bytes, again: bytes) -> None:
    assert written(tokens(text)) == again


def test_lines_are_folded_behind_commas() -> None:
    text = b", ".join(b"a" * 20 + b"@b" for _ in range(5))
    lines = written([(COLON, b":"), *tokens(text)], column=2).split(b"\n")
    assert [len(line) for line in lines] == [73, 48]
    assert all(line.startswith(b"  a") for line in lines[1:])


def test_an_address_is_spoken_without_quotes_and_comments() -> None:
    assert spoken(tokens(b'"a b" (c) @ [1.2]')) == b"a b@[1.2]"


@given(FIELDS)
def test_any_bytes_are_read_or_malformed_and_what_is_written_reads_the_same(text: bytes) -> None:
    try:
        words = tokens(text)
    except Malformed:
        return
    again = written(words)
    assert tokens(again) == words
    assert written(tokens(again)) == again
    assert all(line.startswith((b" ", b"\t")) for line in again.split(b"\n")[1:] if b"\n" not in text)


@pytest.mark.parametrize(
    "text",
    [
        b"(" * 1000 + b")" * 1000,
        b"(" * 1_000_000,
        b"\\a" * 500_000,
        b"<" * 400_000,
        b'"' + b"\\" * 1_000_000,
        b" " * 4_000_000,
        b"a" * 16_000_000,
        b"[" * 1_000_000,
        b"((((a" * 200_000,
    ],
    ids=["nested", "open", "backslashes", "brackets", "quote", "blanks", "atom", "literal", "comments"],
)
def test_hostile_fields_end_soon(text: bytes) -> None:
    begin = time.monotonic()
    try:
        tokens(text)
    except Malformed:
        pass
    assert time.monotonic() - begin < 10


def test_a_field_has_a_limit_of_words() -> None:
    with pytest.raises(TooMany):
        tokens(b"a," * 300_000)
