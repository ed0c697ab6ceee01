"""Envelopes as qmail-queue reads them: what is whole, and what is wrong with the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import envelope
from qmail.formats.envelope import Check

A1002, A1003 = b"a" * 1002, b"a" * 1003

CASES = [
    # text, whole, code
    (b"Fa@b\0Tc@d\0\0", True, 0),
    (b"Fa@b\0\0", True, 0),
    (b"F\0T\0\0", True, 0),
    (b"Fa\0Tb\0\0what follows \0 is not read\0", True, 0),
    (b"F" + A1002 + b"\0T" + A1002 + b"\0\0", True, 0),
    (b"", False, 0),
    (b"F", False, 0),
    (b"Fa\0", False, 0),
    (b"Fa\0Tb\0", False, 0),
    (b"F" + A1002, False, 0),
    (b"\0", False, 91),
    (b"Ta\0\0", False, 91),
    (b"X", False, 91),
    (b"Fa\0Fb\0\0", False, 91),
    (b"Fa\0Tb\0X", False, 91),
    (b"F" + A1003, False, 11),
    (b"F" + A1003 + b"\0\0", False, 11),
    (b"Fa\0T" + A1003 + b"\0\0", False, 11),
    (b"Fa\0T" + A1003 + b"\0Xc\0\0", False, 11),
    (b"Fa\0Xb\0T" + A1003 + b"\0\0", False, 91),
]


def checked(text: bytes, cuts: list[int]) -> tuple[bool, int, bytes]:
    check, records, last = Check(), b"", 0
    for cut in [*sorted(cuts), len(text)]:
        records += check.feed(text[last:cut])
        last = max(last, cut)
    return check.whole, check.code, records


@pytest.mark.parametrize(("text", "whole", "code"), CASES)
def test_an_envelope_is_whole_or_its_first_fault_is_told(text: bytes, whole: bool, code: int) -> None:
    assert checked(text, [])[:2] == (whole, code)
    assert checked(text, list(range(len(text))))[:2] == (whole, code)


def test_the_records_of_a_whole_envelope_come_back_without_its_end() -> None:
    assert checked(b"Fa\0Tb\0Tc\0\0rest", [])[2] == b"Fa\0Tb\0Tc\0"


address = st.binary(max_size=1002).map(lambda text: text.replace(b"\0", b""))


@given(address, st.lists(address, max_size=5), st.lists(st.integers(0, 7000), max_size=8))
def test_what_is_written_is_read_however_it_is_cut(sender: bytes, recipients: list[bytes], cuts: list[int]) -> None:
    text = envelope.envelope(sender, recipients)
    cuts = [min(cut, len(text)) for cut in cuts]
    assert checked(text, cuts) == (True, 0, text[:-1])


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=8))
def test_how_an_envelope_is_cut_changes_nothing(text: bytes, cuts: list[int]) -> None:
    assert checked(text, [min(cut, len(text)) for cut in cuts]) == checked(text, [])


def test_an_envelope_without_end_is_refused_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "MOST_RECIPIENTS", 2)
    assert checked(b"Fa\0Tb\0Tc\0\0", [])[:2] == (True, 0)
    assert checked(b"Fa\0Tb\0Tc\0Td\0\0", [])[:2] == (False, envelope.TOO_MANY)
