"""protocols.smtpdata: where a message ends, what becomes of dots, CR and LF, and how hops are counted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.protocols.smtpdata import Content
from qmail.protocols.smtpmeasure import BareLineFeed

Result = tuple[bytes, bytes] | str  # (message, rest), or what went wrong


def whole(stream: bytes) -> Result:
    """Read as the rules say it, all at once."""
    stream = b"\r\n" + stream
    end = stream.find(b"\r\n.\r\n")
    body = stream if end < 0 else stream[: end + 2]
    if body.count(b"\n") != body.count(b"\r\n"):
        return "bare line feed"
    if end < 0:
        return "goes on"
    lines = body[2:].split(b"\r\n")
    unstuffed = [line[1:] if line[:1] == b"." and line[1:2] != b"\r" else line for line in lines]
    return b"\n".join(unstuffed), stream[end + 5 :]


def in_pieces(pieces: list[bytes]) -> Result:
    content, message = Content(), b""
    for index, piece in enumerate(pieces):
        try:
            message += content.feed(piece)
        except BareLineFeed:
            return "bare line feed"
        if content.over:
            assert content.measure.size == len(message)
            return message, content.rest + b"".join(pieces[index + 1 :])
    return "goes on"


# By the number in the list of bad inputs where it has one: what is no end must never be taken for one.
TRICKS = [
    pytest.param(b"a\n.\nQUIT\r\n", "bare line feed", id="fault_001"),
    pytest.param(b"a\n.\r\nQUIT\r\n", "bare line feed", id="fault_002"),
    pytest.param(b"a\r\n.\nQUIT\r\n", "bare line feed", id="fault_003"),
    pytest.param(b"a\r.\rb\r\n.\r\n", (b"a\r.\rb\n", b""), id="fault_004"),
    pytest.param(b"a\r.\r\nb\r\n.\r\n", (b"a\r.\nb\n", b""), id="fault_005"),
    pytest.param(b"a\r\n.\rb\r\n.\r\n", (b"a\n.\rb\n", b""), id="fault_006"),
    pytest.param(b"a\r\r\n.\r\nQUIT\r\n", (b"a\r\n", b"QUIT\r\n"), id="fault_007"),
    pytest.param(b"a\r\n.\r\r\nb\r\n.\r\n", (b"a\n.\r\nb\n", b""), id="fault_007_again"),
    pytest.param(b"a\r\n\0.\r\n.\r\n", (b"a\n\0.\n", b""), id="fault_008"),
    pytest.param(b"a\r\n.\0\r\n.\r\n", (b"a\n\0\n", b""), id="fault_008_again"),
    pytest.param(b"a\r\n..\r\n.\r\n", (b"a\n.\n", b""), id="fault_009"),
    pytest.param(b"..\r\n...\r\n....\r\n.\r\n", (b".\n..\n...\n", b""), id="fault_010"),
    pytest.param(b"a\r\n.\r\nMAIL FROM:<x>\r\nQUIT\r\n", (b"a\n", b"MAIL FROM:<x>\r\nQUIT\r\n"), id="fault_014"),
    pytest.param(b"a\0b\r\n\0\r\n.\r\n", (b"a\0b\n\0\n", b""), id="fault_016"),
    pytest.param(b"a", "goes on", id="fault_017"),
    (b"a\r\n.", "goes on"),
    (b"a\r\n.\r", "goes on"),
    (b".\r\n", (b"", b"")),
    (b"\r\n.\r\n", (b"\n", b"")),
    (b"\r\r\n.\r\n", (b"\r\n", b"")),
    (b"\n", "bare line feed"),
    (b".\n", "bare line feed"),
    (b"a\r\n.b\r\n.\r\n", (b"a\nb\n", b"")),
    pytest.param(b"\xff\x80\r\n.\r\n", (b"\xff\x80\n", b""), id="fault_019"),
]


@pytest.mark.parametrize(("stream", "result"), TRICKS)
def test_only_cr_lf_dot_cr_lf_ends_a_message(stream: bytes, result: Result) -> None:
    assert whole(stream) == result
    assert in_pieces([stream]) == result
    assert in_pieces([stream[i : i + 1] for i in range(len(stream))]) == result


@pytest.mark.parametrize(("stream", "result"), TRICKS)
def test_fault_013_an_end_that_comes_in_two_pieces_is_the_same_end(stream: bytes, result: Result) -> None:
    for cut in range(len(stream)):
        assert in_pieces([stream[:cut], stream[cut:]]) == result


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\r\n.", b"\r\n.\r\n", b"a", b"\0", b"\r\n.."]), max_size=12
    ),
    st.data(),
)
def test_blocks_of_any_size_give_the_same(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected, seen = whole(stream), in_pieces(pieces)
    if expected == "goes on":
        # A bare LF that is seen early is refused early; it would be refused in any case.
        assert seen in ("goes on", "bare line feed")
    assert seen == expected


@pytest.mark.parametrize("size", [998, 999, 1000, 65_536, 10_000_000])
def test_fault_018_lines_of_any_length_pass(size: int) -> None:
    stream = b"x" * size + b"\r\n.\r\n"
    content, message = Content(), []
    for at in range(0, len(stream), 65_536):
        message.append(content.feed(stream[at : at + 65_536]))
    assert content.over and b"".join(message) == b"x" * size + b"\n"


@pytest.mark.parametrize(
    ("header", "hops"),
    [
        (b"Received: x\r\n" * 3, 3),
        (b"RECEIVED: x\r\nreceived : x\r\nReceived\t: x\r\n", 3),
        (b"Delivered-To: x\r\nDELIVERED-TO:x\r\n", 2),
        pytest.param(b"Received-SPF: pass\r\nDelivered: x\r\nReceivedby: x\r\nreceived\r\n", 0, id="fault_071"),
        (b"Subject: x\r\n Received: folded\r\n\tReceived: folded\r\n", 0),
        (b"Subject: x\r\n\r\nReceived: in the body\r\n", 0),
        (b"\r\nReceived: in the body\r\n", 0),
        (b".Received: behind a stuffed dot\r\n", 1),
        (b"X: " + b"y" * 5000 + b"\r\nReceived: x\r\n", 1),
    ],
)
def test_hops_are_whole_names_in_the_header(header: bytes, hops: int) -> None:
    stream = header + b"\r\nbody\r\n.\r\n"
    for step in (1, 7, len(stream)):
        content = Content()
        for at in range(0, len(stream), step):
            content.feed(stream[at : at + step])
        assert content.measure.hops == hops
