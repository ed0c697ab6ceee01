"""The header of a proxy is read to its last byte, and not one further."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.protocols.proxy import LONGEST_BLOCK, SIGNATURE, Header, Malformed

FOUR = bytes((10, 0, 0, 1, 10, 0, 0, 2)) + (1234).to_bytes(2, "big") + (25).to_bytes(2, "big")
SIX = bytes(15) + b"\1" + bytes(15) + b"\2" + FOUR[-4:]


def block(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(body).to_bytes(2, "big") + body


GOOD = [
    (b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 25\r\n", ((b"10.0.0.1", 1234), (b"10.0.0.2", 25))),
    (b"PROXY TCP6 2001:DB8::1 ::2 1 65535\r\n", ((b"2001:db8::1", 1), (b"::2", 65535))),
    (b"PROXY TCP6 ::ffff:10.0.0.1 ::2 1 2\r\n", ((b"10.0.0.1", 1), (b"::2", 2))),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 x y z\r\n", None),
    (block(0x21, 0x11, FOUR), ((b"10.0.0.1", 1234), (b"10.0.0.2", 25))),
    (block(0x21, 0x11, FOUR + b"\3\0\1x"), ((b"10.0.0.1", 1234), (b"10.0.0.2", 25))),
    (block(0x21, 0x21, SIX), ((b"::1", 1234), (b"::2", 25))),
    (block(0x20, 0x00, b""), None),
    (block(0x20, 0x11, FOUR), None),
    (block(0x21, 0x31, bytes(216)), None),
]


def read(text: bytes, step: int) -> tuple[Header, int]:
    """Feed `text` so many bytes at a look; the header, and how many bytes it took."""
    header, at = Header(), 0
    while not header.done and at < len(text):
        at += header.feed(text[at : at + step])
    return header, at


@pytest.mark.parametrize(("text", "ends"), GOOD)
@pytest.mark.parametrize("step", [1, 7, 4096])
def test_a_header_is_read_whole_in_pieces_and_with_what_follows(text: bytes, ends: object, step: int) -> None:
    for behind in (b"", b"EHLO x\r\n", b"\n"):
        header, taken = read(text + behind, step)
        assert (header.done, header.ends, taken) == (True, ends, len(text))


@pytest.mark.parametrize(
    "text",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 25\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 65536\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1234\r\n",
        b"PROXY TCP4 ::1 ::2 1234 25\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.256 1234 25\r\n",
        b"PROXY UDP4 10.0.0.1 10.0.0.2 1234 25\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 " + b"x" * 200,
        block(0x11, 0x11, FOUR),
        block(0x22, 0x11, FOUR),
        block(0x21, 0x11, FOUR[:-1]),
        SIGNATURE + b"\x21\x11" + (LONGEST_BLOCK).to_bytes(2, "big"),
        b"\r\n\r\n\0\r\nQUIX\n",
    ],
)
def test_what_is_no_header_is_refused(text: bytes) -> None:
    for step in (1, 4096):
        with pytest.raises(Malformed):
            read(text, step)


@given(
    st.binary(max_size=150)
    | st.binary(max_size=60).map(lambda text: b"PROXY " + text)
    | st.binary(max_size=60).map(lambda text: SIGNATURE + text)
)
def test_any_bytes_are_a_header_or_part_of_one_or_malformed(text: bytes) -> None:
    try:
        header, taken = read(text, 16)
    except Malformed:
        return
    assert header.done or taken == len(text)
