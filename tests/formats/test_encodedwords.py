"""Encoded words are read, and hostile ones do no harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.encodedwords import decoded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=?utf-8?Q?Gr=C3=BC=C3=9Fe_an?= alle", "Grüße an alle"),
        ("=?ISO-8859-1?B?Zvxy?=", "für"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?=\n =?utf-8?b?Yg?= c", "ab c"),
        ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
        ("=?utf-8*de?q?a?=", "a"),
        (
            "=?zip?q?a?= =?os.path?b?Yg==?= =?utf-8?z?a?= =?utf-8?q?a",
            "=?zip?q?a?= =?os.path?b?Yg==?= =?utf-8?z?a?= =?utf-8?q?a",
        ),
        ("=?utf-8?b?====?=", ""),
        ("=?=?=?=?", "=?=?=?=?"),
    ],
)
def test_words_are_decoded(text: str, expected: str) -> None:
    assert decoded(text.encode()).decode() == expected


@given(st.text("=?utf-8BQbq_ \n", max_size=60))
def test_whatever_comes_is_read(text: str) -> None:
    decoded(text.encode())


def test_a_million_beginnings_take_no_time() -> None:
    assert len(decoded(b"=?utf-8?q?" * 100_000)) == 1_000_000
