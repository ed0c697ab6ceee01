"""Heads of files in tar archives: what we write every tar can read, and of what others write we take what we know."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import ustar

NAMES = st.binary(min_size=1, max_size=100).filter(lambda name: b"\0" not in name and not name.startswith(b"./"))


@given(name=NAMES, size=st.integers(0, ustar.LARGEST), seconds=st.integers(-1, 2**32))
def test_a_head_says_what_it_was_made_from(name: bytes, size: int, seconds: int) -> None:
    block = ustar.head(name, size, seconds)
    assert len(block) == ustar.BLOCK
    member = ustar.member(block)
    assert member is not None
    assert (member.name, member.size, member.regular) == (name, size, True)


@given(at=st.integers(0, ustar.BLOCK - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_seen(at: int, byte: int) -> None:
    block = bytearray(ustar.head(b"12/message.eml", 1234, 5))
    before = bytes(block)
    block[at] = byte
    if bytes(block) != before:
        try:
            member = ustar.member(bytes(block))
        except ustar.Corrupt:
            return
        # A number may be written in more than one way.
        assert member is not None
        assert (member.name, member.size, member.regular) == (b"12/message.eml", 1234, True)


@given(st.binary(max_size=600))
def test_anything_else_is_corrupt(block: bytes) -> None:
    try:
        ustar.member(block)
    except ustar.Corrupt:
        pass


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_archives_of_others_are_read(kind: int) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        entry = tarfile.TarInfo("./7/envelope")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    member = ustar.member(file.getvalue()[: ustar.BLOCK])
    assert member is not None
    assert (member.name, member.size) == (b"7/envelope", 3)
    assert ustar.member(bytes(ustar.BLOCK)) is None


def test_what_is_too_large_has_no_head() -> None:
    for name, size in ((b"x" * 101, 0), (b"x", ustar.LARGEST + 1)):
        with pytest.raises(ValueError, match="too large"):
            ustar.head(name, size, 0)
