"""protocols.smtpchunks: what BDAT counts, and what becomes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpchunks import MOST, Chunks, chunk
from qmail.protocols.smtpevents import ABANDON, CONTENT, TURN, WAIT
from qmail.protocols.smtplines import Lines
from qmail.protocols.smtpmessage import Incoming


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        (b"0", (0, False)),
        (b"86000 LAST", (86000, True)),
        (b"007\tlast ", (7, True)),
        (b"%d" % MOST, (MOST, False)),
        pytest.param(b"%d" % (MOST + 1), None, id="fault_037_two_to_the_63"),
        pytest.param(b"%d LAST" % (1 << 64), None, id="fault_037_two_to_the_64"),
        (b"9" * 4000, None),
        (b"", None),
        (b"LAST", None),
        (b"-1", None),
        (b"+1", None),
        (b"0x10", None),
        (b"1 2", None),
        (b"1 LAST LAST", None),
        (b"1.5", None),
        (b"\xb2", None),
        (b"1 FIRST", None),
    ],
)
def test_a_chunk_is_a_number_of_bytes_and_perhaps_the_last(argument: bytes, answer: tuple[int, bool] | None) -> None:
    assert chunk(argument) == answer


def read(pieces: list[bytes]) -> tuple[bytes, Chunks]:
    """Each piece as a chunk of its own, the last as the last."""
    chunks, text = Chunks(b""), b""
    for at, piece in enumerate(pieces):
        chunks.expect(len(piece), at == len(pieces) - 1)
        text += chunks.feed(piece)
        assert chunks.left == 0
    return text, chunks


@given(st.lists(st.text("\r\n.ab", max_size=6).map(str.encode), min_size=1, max_size=6))
def test_fault_015_an_edge_of_a_chunk_means_nothing(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    text, chunks = read(pieces)
    if b"\n" in whole.replace(b"\r\n", b""):
        assert chunks.refusal == reply.BARE_LF
        return
    wanted = whole.replace(b"\r\n", b"\n") + b"\n" * (whole != b"" and not whole.endswith(b"\r\n"))
    assert (text, chunks.measure.size, chunks.refusal) == (wanted, len(wanted), b"")


def test_dots_are_bytes_like_others() -> None:
    assert read([b".\r\n..\r\n", b".\r\n"])[0] == b".\n..\n.\n"


def test_what_is_refused_is_passed_over() -> None:
    chunks = Chunks(reply.WANT_MAIL)
    chunks.expect(1 << 40, True)
    for _ in range(3):
        assert chunks.feed(b"x" * 65536) == b""
    assert chunks.left == (1 << 40) - 3 * 65536 and chunks.measure.size == 0


def test_fault_037_of_a_chunk_that_is_too_large_one_block_is_held_and_the_rest_passed_over() -> None:
    message, lines, events = Incoming(200_000), Lines(), []
    assert message.expect(1 << 62, True, b"")
    message.begin()
    for _ in range(8):
        lines.receive(b"x" * 65536)
        events.append(message.turn(lines))
        assert len(message.content) <= 65536 and not lines.more
        assert message.turn(lines) == (WAIT, b"")
    assert events == [(CONTENT, b"")] * 3 + [(ABANDON, b"")] + [(TURN, b"")] * 4


def test_fault_037_ten_thousand_chunks_in_one_block_are_read_one_by_one_in_little_time() -> None:
    message, lines = Incoming(0), Lines()
    lines.receive(b"BDAT 1\r\nx" * 10_000)
    for number in range(10_000):
        assert lines.next() == b"BDAT 1"
        message.expect(1, False, b"")
        assert message.begin() == b""
        assert message.turn(lines) == (CONTENT, b"250 1 octets received\r\n"), number
    assert not lines.more


def test_a_message_that_has_no_place_to_go_is_passed_over_chunk_by_chunk() -> None:
    message, lines = Incoming(0), Lines()
    lines.receive(b"hello" + b"RSET\r\n" + b"NOOP\r\n")
    assert message.expect(5, False, b"") and message.refuse(reply.NO_QUEUE) == b""
    assert message.turn(lines) == (TURN, reply.NO_QUEUE) and not message.halfway
    assert not message.expect(6, True, b"") and message.turn(lines) == (TURN, reply.NO_QUEUE)
    assert lines.next() == b"NOOP" and not message.reading
    assert message.refuse(reply.NO_QUEUE) == reply.NO_QUEUE, "the next one is another message"
