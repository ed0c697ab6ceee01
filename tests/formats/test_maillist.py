"""Mailing lists, as text and in binary, are read piece by piece (setmaillist(1))."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.maillist import LONGEST_LINE, Malformed, lines, member, members


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"god@a \t", b"&god@a"),
        (b"&/x@a", b"&/x@a"),
        (b"/l.bin", b"/l.bin"),
        (b"./l.bin", b"./l.bin"),
        (b" a@b", b"& a@b"),
        (b"# c", None),
        (b" \t", None),
        (b"x" * 800, b"&" + b"x" * 800),
    ],
)
def test_a_line_is_a_member_or_nothing(line: bytes, found: bytes | None) -> None:
    assert member(line) == found


@pytest.mark.parametrize("line", [b"a\0b", b"x" * 801, b"/" + b"x" * 4095])
def test_a_line_that_is_no_member_is_refused(line: bytes) -> None:
    with pytest.raises(Malformed):
        member(line)


@pytest.mark.parametrize(
    "data", [b"&a@b", b"&a@b\0x", b"&a@b\0x\0", b"\0", b"|x\0", b"&" + b"x" * 5000, b"&" + b"x" * 5000 + b"\0"]
)
def test_a_damaged_list_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(members([data]))


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    def endless() -> object:
        for _ in range(LONGEST_LINE):
            yield b"x" * 65536
        pytest.fail("it went on reading")

    with pytest.raises(Malformed):
        list(lines(endless()))  # type: ignore[arg-type]
    with pytest.raises(Malformed):
        list(members(endless()))  # type: ignore[arg-type]


@given(st.lists(st.sampled_from([b"&a@b", b"/list", b".x", b"&"])), st.integers(1, 9))
def test_pieces_may_end_anywhere(entries: list[bytes], size: int) -> None:
    data = b"".join(entry + b"\0" for entry in entries)
    assert list(members(data[at : at + size] for at in range(0, len(data), size))) == entries
    text = data.replace(b"\0", b"\n")
    assert list(lines(text[at : at + size] for at in range(0, len(text), size))) == entries


@given(st.binary(max_size=60))
def test_any_bytes_are_a_list_or_refused(data: bytes) -> None:
    try:
        assert b"".join(entry + b"\0" for entry in members([data])) == data
    except Malformed:
        pass
