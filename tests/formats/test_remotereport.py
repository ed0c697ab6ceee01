"""What becomes of qmail-remote's records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import remotereport


@pytest.mark.parametrize(
    ("output", "report"),
    [
        (b"r\0Kfine\n\0", b"Kfine\n"),
        (b"r\0Zlater\n\0", b"Zlater\n"),
        (b"hbad\n\0Kfine\n\0", b"Dbad\n"),
        (b"sbusy\n\0Kfine\n\0", b"Zbusy\n"),
        (b"sbusy\n\0DGiving up\n\0", b"Zbusy\nGiving up\n"),
        (b"hbad\n\0DGiving up\n\0", b"Dbad\nGiving up\n"),
        (b"hbad\n\0Zlater\n\0", b"Dbad\n"),
        (b"sbusy\n\0Zlater\n\0", b"Zbusy\nlater\n"),
        (b"Dno host\n\0", b"Dno host\n"),
        (b"Kfine\n\0", b"Kfine\n"),
        (b"r\0", b"D"),
        (b"r", b"D"),
        (b"", b"Zqmail-remote produced no output.\n"),
    ],
)
def test_records_become_one_report(output: bytes, report: bytes) -> None:
    assert remotereport.folded(output) == report


@pytest.mark.parametrize(
    ("code", "report"),
    [
        (None, b"Zqmail-remote crashed.\n"),
        (111, b"ZUnable to run qmail-remote.\n"),
        (100, b"DUnable to run qmail-remote.\n"),
        (1, b"DUnable to run qmail-remote.\n"),
        (0, b"Kfine\n"),
    ],
)
def test_how_the_program_ended_counts_first(code: int | None, report: bytes) -> None:
    assert remotereport.report(code, b"r\0Kfine\n\0") == report


@given(st.binary())
def test_any_output_becomes_a_report(output: bytes) -> None:
    assert remotereport.folded(output)[:1] in (b"K", b"Z", b"D")
