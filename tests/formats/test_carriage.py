"""Carriage returns are put in and taken out, however the stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.carriage import Added, Completed, Kept, Removed, visible

PIECES = st.lists(st.text("ab\r\n", max_size=8).map(str.encode), max_size=8)


def through(change: Kept, pieces: list[bytes]) -> bytes:
    return b"".join([*map(change.feed, pieces), change.end()])


@pytest.mark.parametrize(
    ("text", "added", "completed", "removed"),
    [
        (b"a\nb", b"a\r\nb", b"a\r\nb", b"a\nb"),
        (b"a\r\nb\r", b"a\r\r\nb\r", b"a\r\nb\r", b"a\nb\r"),
        (b"a\r\r\n\n", b"a\r\r\r\n\r\n", b"a\r\r\n\r\n", b"a\r\n\n"),
        (b"", b"", b"", b""),
    ],
)
def test_line_ends_change_as_named(text: bytes, added: bytes, completed: bytes, removed: bytes) -> None:
    assert [through(each(), [text]) for each in (Added, Completed, Removed)] == [added, completed, removed]


@given(PIECES)
def test_the_cuts_between_pieces_make_no_difference(pieces: list[bytes]) -> None:
    for change in (Kept, Added, Completed, Removed):
        assert through(change(), pieces) == through(change(), [b"".join(pieces)])


def test_terminal_bytes_are_made_visible() -> None:
    assert visible(b"a\tb\n\r\x1b\x7f\xe9\x80\x8a\xff") == b"a\tb\n^M^[^?M-iM-^@M-^JM-^?"
