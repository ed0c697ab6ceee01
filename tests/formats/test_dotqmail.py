"""Lines of a .qmail file are instructions (dot-qmail(5))."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.dotqmail import BLANK_FIRST, FILE_REFUSED, PROGRAM_REFUSED, instructions


def read(text: bytes, forward_only: bool = False) -> list[tuple[str, bytes]]:
    return [(each.kind, each.value) for each in instructions(text, forward_only=forward_only)]


@pytest.mark.parametrize(
    ("line", "kind", "value"),
    [
        (b"./Mailbox \t", "mbox", b"./Mailbox"),
        (b"/var/mail/joe", "mbox", b"/var/mail/joe"),
        (b"./Maildir/", "maildir", b"./Maildir/"),
        (b"|a b  ", "program", b"a b"),
        (b"|", "program", b""),
        (b"&a@b", "forward", b"a@b"),
        (b"& a@b", "forward", b" a@b"),
        (b"&", "forward", b""),
        (b"a@b", "forward", b"a@b"),
        (b" a@b", "forward", b" a@b"),
        (b"&a@b\r", "forward", b"a@b\r"),
        (b"./a\0b/", "maildir", b"./a"),
    ],
)
def test_the_first_byte_says_what_a_line_is(line: bytes, kind: str, value: bytes) -> None:
    assert read(line + b"\n") == [(kind, value)]


def test_comments_and_later_blank_lines_are_nothing() -> None:
    assert read(b"# x\n\n  \n./M\n#") == [("mbox", b"./M")]


@pytest.mark.parametrize("text", [b"\n", b" \t\n./M\n", b"\n./M", b"\0x\n"])
def test_a_blank_first_line_is_refused(text: bytes) -> None:
    assert read(text) == [("refused", BLANK_FIRST)]


def test_an_executable_file_may_only_forward() -> None:
    assert read(b"&a\n./M\n&b\n", True) == [("forward", b"a"), ("refused", FILE_REFUSED)]
    assert read(b"&a\n|p\n&b\n", True) == [("forward", b"a"), ("refused", PROGRAM_REFUSED)]


def test_list_lets_only_the_lines_behind_it_only_forward() -> None:
    assert read(b"./M\n+list\n|p\n") == [("mbox", b"./M"), ("refused", PROGRAM_REFUSED)]
    assert read(b"+other\n|p\n") == [("program", b"p")]


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_instructions(data: bytes, forward_only: bool) -> None:
    assert len(read(data, forward_only)) <= data.count(b"\n") + 1
