"""TAI64N labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import tai64n

SECOND = 1_000_000_000


def test_the_label_of_the_manual_is_read_as_its_time() -> None:
    assert tai64n.leading(b"@4000000037c219bf2ef02e94 mark") == (935467445, 787492500)


def test_1970_is_ten_seconds_behind_tai() -> None:
    assert tai64n.label(0) == b"@400000000000000a00000000"
    assert tai64n.pack(SECOND + 5) == bytes.fromhex("400000000000000b00000005")


@given(st.integers(-(1 << 40) * SECOND, (1 << 40) * SECOND))
def test_what_is_written_is_read(nanoseconds: int) -> None:
    expected = divmod(nanoseconds, SECOND)
    assert tai64n.leading(tai64n.label(nanoseconds)) == expected
    assert tai64n.unpack(tai64n.pack(nanoseconds)) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"@",
        b"@4000000037c219bf2ef02e9",
        b"@4000000037c219bf2ef02e9g",
        b"@4000000037C219BF2EF02E94",
        b"@4000000037c219bf2ef02e940",
        b" @4000000037c219bf2ef02e94",
        b"@4000000037c219bf 2ef02e94",
    ],
)
def test_what_is_no_label_is_none(line: bytes) -> None:
    assert tai64n.leading(line) is None


@given(st.binary(max_size=60))
def test_any_line_has_a_label_or_none(line: bytes) -> None:
    tai64n.leading(line)
    tai64n.leading(b"@" + line)
