"""Netstrings, read from a stream."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.netstring import LARGEST, Broken, Ended, Input, TooLong, netstring


def source(*pieces: bytes) -> Input:
    waiting = [piece for piece in pieces if piece]
    return Input(lambda: waiting.pop(0) if waiting else b"")


@given(st.binary(max_size=300), st.integers(1, 50))
def test_what_is_written_is_read(text: bytes, step: int) -> None:
    data = netstring(text) + netstring(b"x")
    stream = source(*(data[at : at + step] for at in range(0, len(data), step)))
    assert stream.text(300) == text
    assert stream.text(1) == b"x"


def test_a_longer_text_is_passed_over() -> None:
    stream = source(b"5:hello,1:x,")
    assert stream.text(4) is None
    assert stream.text(4) == b"x"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Ended),
        (b"5", Ended),
        (b"5:hell", Ended),
        (b"5:hello", Ended),
        (b"5:hello.", Broken),
        (b"-1:x,", Broken),
        (b" 3:abc,", Broken),
        (b":x,", Broken),
        (b"5x", Broken),
        (b"999999999999:", TooLong),
        (b"%d:" % (LARGEST + 1), TooLong),
    ],
)
def test_anything_else_is_told_apart(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        source(data).text(100)


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"4:1:x,,", None), (b"3:1:x,,", Broken), (b"5:1:x,,", Broken), (b"2:5:hello,,", Broken), (b"4:1:x,.", Broken)],
)
def test_a_netstring_in_a_netstring_ends_before_it(data: bytes, error: type[Exception] | None) -> None:
    stream = source(data)

    def read() -> bytes | None:
        stream.begin()
        text = stream.text(10)
        stream.finish()
        return text

    check: Callable[[], object] = read
    if error is None:
        assert check() == b"x"
    else:
        with pytest.raises(error):
            check()


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_any_bytes_end_in_a_text_or_in_one_of_three_ways(pieces: list[bytes]) -> None:
    stream = source(*pieces)
    for _ in range(200):
        try:
            stream.text(20)
        except (Broken, TooLong, Ended):
            return
