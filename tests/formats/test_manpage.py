"""Manual pages from the text at the top of programs."""

from __future__ import annotations

from qmail.formats import manpage

TEXT = """sample: a thing that does one thing

Usage: sample [-x] FILE
       sample --all

It does what 'it' can.
    .indented \\ example

Runs as: anybody.
Exit codes: 0.
"""


def test_a_page_has_its_sections_in_order_and_hides_nothing_from_troff() -> None:
    lines = manpage.page(b"sample", TEXT).decode().splitlines()
    assert lines[0] == '.TH sample 8 "" pyqmail'
    assert [line for line in lines if line.startswith(".SH")] == [
        ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH RUNS AS", ".SH EXIT CODES",
    ]  # fmt: skip
    assert "sample \\- a thing that does one thing" in lines
    assert "sample [\\-x] FILE" in lines
    assert "It does what \\(aqit\\(aq can." in lines
    assert "    .indented \\e example" in lines
    assert lines.count(".nf") == lines.count(".fi")
