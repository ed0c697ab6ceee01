"""protocols.smtpreply: each reply, and the same with an enhanced status code."""

from __future__ import annotations

import re

import pytest

from qmail.protocols import smtpreply as reply

REPLIES = {name: value for name, value in vars(reply).items() if name.isupper() and isinstance(value, bytes)}
SAID = {name: text for name, text in REPLIES.items() if text.endswith(b"\r\n")}


@pytest.mark.parametrize("name", SAID)
def test_every_reply_has_a_code_of_its_class_once(name: str) -> None:
    text = reply.enhanced(SAID[name])
    assert reply.enhanced(text) == text
    if text.startswith(b"3"):
        assert text == SAID[name]
    else:
        assert re.fullmatch(rb"([245])\d\d \1\.\d{1,3}\.\d{1,3} [^#\r\n]+\r\n", text)


@pytest.mark.parametrize(
    ("text", "code", "wanted"),
    [
        (b"250 ok\r\n", b"", b"250 2.0.0 ok\r\n"),
        (b"250 ok\r\n", reply.RECIPIENT, b"250 2.1.5 ok\r\n"),
        (b"503 MAIL first (#5.5.1)\r\n", reply.RECIPIENT, b"503 5.5.1 MAIL first\r\n"),
        (b"550 5.1.1 no\r\n", reply.RECIPIENT, b"550 5.1.1 no\r\n"),
        (b"451 a filter's (#5.7.1)\r\n", b"", b"451 4.7.1 a filter's\r\n"),
        (b"554 mail #5 (#4) \xff\r\n", b"", b"554 5.0.0 mail #5 (#4) \xff\r\n"),
        (b"451 2.0.0 said\r\n", b"", b"451 4.0.0 2.0.0 said\r\n"),
        (b"334 \r\n", b"", b"334 \r\n"),
    ],
)
def test_a_code_is_where_the_text_or_the_place_says(text: bytes, code: bytes, wanted: bytes) -> None:
    assert reply.enhanced(text, code) == wanted
