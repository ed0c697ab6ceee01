"""The talk between qmail-queued and its clients: frames whole, cut, out of order, and hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.protocols import submit
from qmail.protocols.submit import Broken, Incoming, Stage, frame

MESSAGE = frame(b"B", b"p") + frame(b"M", b"text\n") + frame(b"E", b"Fa\0Tb\0\0") + frame(b".")


def fed(talk: Incoming, data: bytes, cuts: list[int]) -> int:
    last, stage = 0, talk.stage
    for cut in [*sorted(cuts), len(data)]:
        stage = talk.feed(data[last:cut])
        last = max(last, cut)
    return stage


@given(st.lists(st.integers(0, len(MESSAGE)), max_size=6))
def test_a_message_is_understood_however_it_is_cut(cuts: list[int]) -> None:
    talk = Incoming()
    assert fed(talk, MESSAGE, cuts) == Stage.COMMITTED
    assert talk.program
    message, envelope = talk.take()
    assert (b"".join(message), b"".join(envelope)) == (b"text\n", b"Fa\0Tb\0\0")


def test_messages_follow_each_other() -> None:
    talk = Incoming()
    for _number in range(3):
        assert talk.feed(MESSAGE) == Stage.COMMITTED
        talk.answered()
        assert talk.stage == Stage.IDLE
        assert talk.held == 0


def test_after_an_early_answer_the_rest_is_dropped() -> None:
    talk = Incoming()
    assert talk.feed(frame(b"B") + frame(b"M", b"x" * 1000)[:500]) == Stage.BEGUN
    talk.refuse()
    assert talk.feed(frame(b"M", b"x" * 1000)[500:] + frame(b"M", b"y" * 5000)) == Stage.REFUSED
    assert talk.held == 0
    assert talk.feed(frame(b".") + MESSAGE) == Stage.COMMITTED
    assert b"".join(talk.take()[0]) == b"text\n"


BROKEN = [
    frame(b"M", b"x"),
    frame(b"."),
    frame(b"A"),
    frame(b"B") + frame(b"B"),
    frame(b"B", b"q"),
    frame(b"B", b"pp"),
    frame(b"B") + frame(b"E", b"F") + frame(b"M", b"x"),
    frame(b"B") + frame(b".", b"x"),
    frame(b"B") + frame(b"Z"),
    frame(b"B") + b"M\xff\xff\xff\xff",
    b"GET / HTTP/1.0\r\n\r\n",
    MESSAGE + frame(b"B"),
]


@pytest.mark.parametrize("data", BROKEN)
def test_what_is_not_this_protocol_is_told_from_it(data: bytes) -> None:
    with pytest.raises(Broken):
        Incoming().feed(data)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_read_or_broken_and_never_held_beyond_what_came(pieces: list[bytes]) -> None:
    talk, came = Incoming(), 0
    for piece in pieces:
        came += len(piece)
        try:
            if talk.feed(piece) >= Stage.COMMITTED:
                talk.answered()
        except Broken:
            return
        assert talk.held <= came


@given(st.integers(0, 255), st.integers(0, 2**40), st.booleans())
def test_an_answer_is_read_as_it_was_given(code: int, qp: int, full: bool) -> None:
    reader = submit.Reader()
    reader.feed(submit.answer(code, qp, full=full))
    letter, payload = reader.next() or (b"", b"")
    assert letter == submit.ANSWER
    assert submit.parse_answer(payload) == (code, qp)
    assert submit.is_full(payload) == full


@given(st.binary(max_size=60))
def test_an_answer_that_is_none_is_broken(payload: bytes) -> None:
    try:
        code, qp = submit.parse_answer(payload)
    except Broken:
        return
    assert code >= 0
    assert qp >= 0
