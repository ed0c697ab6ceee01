"""Texts with tags and sections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.listtext import filled
from qmail.formats.listtexts import TEXTS

TAGS = {b"A": b"joe@x", b"R": b"r@y", b"l": b"sos"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"<#l#>-x <#l#>\n", b"sos-x sos\n"),
        (b"  !A\n!R\nnot !A\n", b"  joe@x\nr@y\nnot !A\n"),
        (b"<#z#> <#l# <#", b"<#z#> <#l# <#"),
        (b"a\n<=ab=>\nb\n<=az=>\nc\n<==>\nd\n", b"a\nb\nd\n"),
        (b"\r\n\xff", b"\r\n\xff"),
        (b"", b""),
    ],
)
def test_tags_are_replaced_and_sections_chosen(text: bytes, expected: bytes) -> None:
    assert filled(text, TAGS, b"ab") == expected


@given(st.binary(max_size=60))
def test_what_is_put_in_is_not_looked_at_again(value: bytes) -> None:
    value = value.replace(b"\n", b"").replace(b"\r", b"")
    assert filled(b"x <#l#> y\n", {b"l": value, b"A": b"no"}) == b"x " + value + b" y\n"


def test_our_own_texts_fit_on_a_terminal_and_leave_no_tag() -> None:
    tags = {letter.encode(): b"x" for letter in "lLhHARt"}
    for name, text in TEXTS.items():
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 100, name
        assert b"#>" not in filled(text.encode(), tags), name
