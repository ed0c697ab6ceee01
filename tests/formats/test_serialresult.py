"""Reports of a client of maildirserial."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.serialresult import Broken, Reports, report

NAMES = st.binary().map(lambda name: name.replace(b"\0", b""))


@given(st.lists(st.tuples(NAMES, st.sampled_from([b"K", b"Z", b"D"]), st.binary())), st.integers(1, 50))
def test_reports_are_read_however_they_come(told: list[tuple[bytes, bytes, bytes]], size: int) -> None:
    stream = b"".join(report(*each, None) for each in told)
    reader = Reports()
    read = [each for at in range(0, len(stream), size) for each in reader.feed(stream[at : at + size])]
    assert [(name, letter) for name, letter, _ in read] == [(name, letter) for name, letter, _ in told]
    assert all(32 <= byte < 127 for _, _, words in read for byte in words)


def test_words_are_those_of_somebody_and_have_an_end() -> None:
    assert report(b"n", b"K", b"th\0nks\n", b"1.2.3.4") == b"n\0K1.2.3.4 said: th?nks?\n"
    assert len(report(b"n", b"D", b"x" * 9000, None)) == 2004


@pytest.mark.parametrize("stream", [b"n\0Xwords\n", b"n\0\n", b"x" * 70_000, b"n\0K" + b"x" * 70_000])
def test_what_is_no_report_is_broken(stream: bytes) -> None:
    with pytest.raises(Broken):
        list(Reports().feed(stream))
