"""Which lines a pattern of multilog matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.logselect import matches


@pytest.mark.parametrize(
    ("pattern", "line", "does"),
    [
        (b"", b"", True),
        (b"", b"x", False),
        (b"hello", b"hello", True),
        (b"hello", b"hello world", False),
        (b"*", b"", True),
        (b"*", b"anything", True),
        (b"a*a", b"alpha", True),
        (b"a*b", b"ab", True),
        (b"a*b", b"abb", False),  # the star ends at the first b, and there is no second try
        (b"*x*y", b"qxqy", True),
        (b"*x*y", b"xyy", False),
        (b"named[*]: Cleaned cache *", b"named[135]: Cleaned cache of 3121 RRs", True),
        (b"**a", b"a", False),  # the first star looks for a star
        (b"**a", b"*a", True),
        (b"b**", b"b*", True),
        (b"b**", b"bb", False),
        (b"a*b", b"a\0b", True),
    ],
)
def test_a_star_reaches_to_the_first_occurrence_of_what_follows(pattern: bytes, line: bytes, does: bool) -> None:
    assert matches(pattern, line) is does


@given(st.text("ab*", max_size=8), st.text("ab*", max_size=8))
def test_it_agrees_with_reading_byte_by_byte(pattern: str, line: str) -> None:
    assert matches(pattern.encode(), line.encode()) is by_bytes(pattern, line)


def by_bytes(pattern: str, line: str) -> bool:
    """The manual's words, literally."""
    if not pattern:
        return not line
    if pattern[0] != "*":
        return line[:1] == pattern[0] and by_bytes(pattern[1:], line[1:])
    if len(pattern) == 1:
        return True
    skipped = line.find(pattern[1])
    return skipped >= 0 and by_bytes(pattern[1:], line[skipped:])
