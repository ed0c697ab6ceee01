"""Exit codes and output become reports for qmail-send."""

from __future__ import annotations

import pytest

from qmail.formats import report


@pytest.mark.parametrize(
    ("code", "said", "text"),
    [
        (0, b"did 1+0+0\n", b"Kdid 1+0+0\n"),
        (111, b"later\n", b"Zlater\n"),
        (71, b"", b"Z"),
        (74, b"", b"Z"),
        (75, b"", b"Z"),
        (100, b"never\n", b"Dnever\n"),
        (1, b"x", b"Dx"),
        (113, b"x", b"ZNot allowed to perform deliveries as root.\n"),
        (117, b"x", b"ZTrouble reading users/cdb in qmail-lspawn.\n"),
        (126, b"x", b"DUnable to run qmail-local.\n"),
        (None, b"x", b"Zqmail-local crashed.\n"),
        (0, b"a\0b", b"Ka"),
    ],
)
def test_the_code_decides_the_letter(code: int | None, said: bytes, text: bytes) -> None:
    assert report.local(code, said) == text


def test_a_long_report_is_cut_and_says_so() -> None:
    assert report.local(0, b"x" * 3000) == b"K" + b"x" * 3000
    cut = report.local(0, b"x" * 3001)
    assert len(cut) <= 3001 and cut.endswith(b"x\nError report too long, sorry.\n")
