"""POP3's commands, maildrop and messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.protocols import pop3


def drop(*sizes: int) -> pop3.Drop:
    return pop3.Drop(sizes, [b"m%d" % size for size in sizes])


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_commands_do_not_depend_on_how_they_arrive(pieces: list[bytes]) -> None:
    whole, parts = pop3.Lines(), pop3.Lines()
    text = b"".join(pieces)
    assert list(whole.feed(text)) == [line for piece in pieces for line in parts.feed(piece)]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"STAT\r\n", (b"stat", b"")),
        (b"retr  1 \n", (b"retr", b"1 ")),
        (b"RETR 1\0x\r\n", (b"retr", b"1")),
        (b" STAT\r\n", (b"", b"STAT")),
        (b"STAT\r\r\n", (b"stat\r", b"")),
        (b"\r\n", (b"", b"")),
        (b"A" * 100_000 + b"\r\n", (b"", b"")),
    ],
)
def test_a_command_is_a_verb_and_the_rest(line: bytes, command: tuple[bytes, bytes]) -> None:
    assert [pop3.command(each) for each in pop3.Lines().feed(line)] == [command]


def test_a_line_without_end_is_not_kept() -> None:
    lines = pop3.Lines()
    for _ in range(1000):
        assert list(lines.feed(b"A" * 65536)) == []
    assert list(lines.feed(b"\nNOOP\n")) == [b"", b"NOOP"]


def test_deleted_messages_count_but_their_bytes_do_not() -> None:
    maildrop = drop(10, 20, 30)
    assert maildrop.answer(b"stat", b"") == b"+OK 3 60\r\n"
    assert maildrop.answer(b"dele", b"2") == b"+OK \r\n"
    assert maildrop.answer(b"stat", b"") == b"+OK 3 40\r\n"
    assert maildrop.answer(b"list", b"") == b"+OK \r\n1 10\r\n3 30\r\n.\r\n"
    assert maildrop.answer(b"uidl", b"3") == b"+OK 3 m30\r\n"
    assert maildrop.answer(b"last", b"") == b"+OK 2\r\n"
    assert maildrop.answer(b"rset", b"") == b"+OK \r\n"
    assert (maildrop.deleted, maildrop.answer(b"last", b"")) == (set(), b"+OK 0\r\n")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (b"", b"syntax error"),
        (b"x", b"syntax error"),
        (b"-1", b"syntax error"),
        (b"0", b"messages are counted from 1"),
        (b"4", b"not that many messages"),
        (b"9" * 5000, b"not that many messages"),
        (b"2", b"already deleted"),
    ],
)
def test_a_number_must_mean_a_message(argument: bytes, words: bytes) -> None:
    maildrop = drop(1, 2, 3)
    maildrop.answer(b"dele", b"2")
    with pytest.raises(pop3.Refused) as caught:
        maildrop.place(argument)
    assert caught.value.answer == b"-ERR " + words + b"\r\n"
    assert maildrop.place(b"01 x") == 0


@pytest.mark.parametrize(
    ("text", "lines", "sent"),
    [
        (b"", None, b""),
        (b"a: b\n\nx", None, b"a: b\r\n\r\nx\r\n"),
        (b".\n..\na.\n", None, b"..\r\n...\r\na.\r\n"),
        (b"a\r\n\0\xff\n", None, b"a\r\r\n\0\xff\r\n"),
        (b"a: b\n\nx\ny\n", 0, b"a: b\r\n\r\n"),
        (b"a: b\n\nx\ny\n", 1, b"a: b\r\n\r\nx\r\n"),
        (b"\n\nbody\n", 1, b"\r\n\r\n"),
        (b"no header\n", 0, b"no header\r\n"),
        (b"h\n\n.x", 5, b"h\r\n\r\n..x\r\n"),
    ],
)
def test_a_message_is_shown_with_doubled_dots(text: bytes, lines: int | None, sent: bytes) -> None:
    for step in (1, 2, 100):
        pieces = [text[at : at + step] for at in range(0, len(text), step)]
        assert b"".join(pop3.shown(pieces, lines)) == sent + b"\r\n.\r\n"


@given(st.lists(st.sampled_from([b"a", b"\n", b".", b"\r", b"\n.\n"]) | st.binary(max_size=5), max_size=20))
def test_a_client_gets_back_what_was_shown(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    wire = b"".join(pop3.shown(pieces))
    assert wire.endswith(b"\r\n.\r\n")
    assert b"\r\n.\r\n" not in (b"\r\n" + wire)[:-5]
    body = (b"\r\n" + wire[:-5]).replace(b"\r\n.", b"\r\n")[2:]
    assert body.replace(b"\r\n", b"\n") == text + (b"" if not text or text.endswith(b"\n") else b"\n") or b"\r" in text


@pytest.mark.parametrize(("argument", "lines"), [(b"1 5", 5), (b"1", None), (b"1 x", None), (b"1  0", 0), (b"", None)])
def test_top_without_a_number_is_everything(argument: bytes, lines: int | None) -> None:
    assert pop3.lines_wanted(argument) == lines
