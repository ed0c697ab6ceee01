"""Parts of unwanted types go, and nothing else changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.mimeparts import LARGEST, Parts

BODY = b"""before
--x
Content-Type: text/plain

one
--x
content-type:
 TEXT/HTML; charset=a

<two>
--x

three, without a type
--xy is no boundary
--x--
behind
"""


def filtered(body: bytes, size: int, *unwanted: bytes) -> tuple[bytes, int]:
    parts = Parts(b"x", lambda kind: kind not in unwanted)
    out: list[bytes | None] = []
    for at in range(0, len(body), size):
        out += parts.feed(body[at : at + size])
    out += parts.end()
    return b"".join(b"[MORE]" if piece is None else piece for piece in out), parts.passed


def test_an_unwanted_part_goes() -> None:
    text, passed = filtered(BODY, 1000, b"text/html")
    assert text == BODY.replace(b"--x\ncontent-type:\n TEXT/HTML; charset=a\n\n<two>\n", b"").replace(
        b"--x--", b"[MORE]--x--"
    )
    assert passed == 2


def test_a_part_without_a_type_is_plain_text() -> None:
    text, passed = filtered(BODY, 1000, b"text/plain")
    assert b"<two>" in text
    assert b"one" not in text and b"three" not in text
    assert passed == 1


@given(st.integers(1, 40))
def test_pieces_of_any_size_give_the_same(size: int) -> None:
    assert filtered(BODY, size, b"text/html") == filtered(BODY, 1000, b"text/html")


@given(st.lists(st.sampled_from([b"--x\n", b"--x--\n", b"\n", b"a\n", b"Content-Type: text/html\n", b"--x", b"\r\n"])))
def test_where_all_is_wanted_nothing_changes(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    assert filtered(body, 7)[0].replace(b"[MORE]", b"") == body


def test_long_lines_and_endless_headers_are_passed_on() -> None:
    body = b"--x\n" + b"a: b\n" * 30_000 + b"y" * (3 * LARGEST) + b"\n--x--\n"
    parts = Parts(b"x", lambda _kind: True)
    out = parts.feed(body)
    assert len(parts.feed(b"")) == 0
    assert b"".join(piece or b"" for piece in out + parts.end()) == body


def test_a_boundary_at_the_end_of_a_long_line_is_none() -> None:
    body = b"y" * (LARGEST + 10) + b"--x--\n"
    parts = Parts(b"x", lambda _kind: True)
    out = parts.feed(body[: LARGEST + 10]) + parts.feed(body[LARGEST + 10 :]) + parts.end()
    assert None not in out
