"""Manual pages from the text at the top of programs, and from Markdown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import manpage

TEXT = """sample: a thing that does one thing.

What a stranger must know.

Usage: sample [-x] FILE
       sample --all

    sample -x 'it'

It does what `it` can.
.indented is no request

Behaviour:
Nothing is lost.

Files: FILE.
Runs as: anybody.
Exit codes: 0 done; 62 to 66 trouble, where; of
    some kind; else those of FILE.
"""

MARKDOWN = """# sample(5): a file

First [words](other.md).

## Format

- one
- two
  more

### Part

    .as -is
"""


def test_a_page_has_its_three_parts_in_order() -> None:
    lines = manpage.page("sample", 1, TEXT).decode().splitlines()
    assert lines[0] == '.TH "sample" "1" "" "pyqmail" "pyqmail"'
    assert [line for line in lines if line.startswith((".SH", ".SS"))] == [
        ".SH NAME", ".SH SYNOPSIS", ".SH WHAT IT IS", ".SH HOW TO USE IT", ".SH EXACT BEHAVIOUR",
        ".SS Files", ".SS Runs as", ".SS Exit codes",
    ]  # fmt: skip
    assert "sample \\- a thing that does one thing" in lines
    assert "sample [\\-x] FILE" in lines and "       sample \\-\\-all" in lines
    assert "It does what \\fBit\\fR can." in lines and "\\&.indented is no request" in lines
    assert "    sample \\-x \\(aqit\\(aq" in lines
    assert lines.index(".SH EXACT BEHAVIOUR") < lines.index("Nothing is lost.") < lines.index(".SS Files")
    at = lines.index(".SS Exit codes")
    assert lines[at + 1 : at + 7] == [".TP", ".B 0", "done", ".TP", ".B 62 to 66", "trouble, where; of some kind"]
    assert lines[-1] == "Else those of FILE."


def test_a_page_of_a_file_format_is_made_from_markdown() -> None:
    lines = manpage.page_from_markdown(MARKDOWN).decode().splitlines()
    assert lines[3:] == [
        ".SH DESCRIPTION", ".PP", "First words.", ".SH Format", ".IP \\(bu 2", "one", ".IP \\(bu 2", "two", "more",
        ".SS Part", ".PP", ".nf", "    .as \\-is", ".fi",
    ]  # fmt: skip


@given(st.text(max_size=200))
def test_any_text_becomes_a_page_that_begins_with_its_title(text: str) -> None:
    assert manpage.page("x", 8, text).startswith(b'.TH "x" "8"')
    assert manpage.page_from_markdown(text).startswith(b'.TH "')
