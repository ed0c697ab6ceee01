"""What a report on a delivery says to programs."""

from __future__ import annotations

import pytest

from qmail.formats import deliverystatus
from qmail.formats.deliverystatus import DELAYED, DELIVERED, EXPANDED, FAILED, RELAYED, Fate

SAID = b"Remote host said: 550-5.1.1 no such\n550 5.1.1 user\n"
REMOTE = b"192.0.2.1 does not like recipient.\n" + SAID + b"Giving up on 192.0.2.1.\n"
TAKEN = b"192.0.2.1 accepted message.\nRemote host said: 250 2.6.0 ok\n"
HOST = b"Remote-MTA: dns; [192.0.2.1]"
OLD = b"Connected to 2001:db8::1 but sender was rejected.\nRemote host said: 451 later\n"
NO_HOST = b"Sorry, I couldn't find any host named x.example. (#5.1.2)\n"
TOO_LONG = OLD + b"I'm not going to try again; this message has been in the queue too long.\n"


@pytest.mark.parametrize(
    ("action", "words", "expected"),
    [
        (FAILED, REMOTE, [b"Status: 5.1.1", HOST, b"Diagnostic-Code: smtp; 550-5.1.1 no such 550 5.1.1 user"]),
        (FAILED, NO_HOST, [b"Status: 5.1.2", b"Diagnostic-Code: x-qmail; Sorry, I couldn't"]),
        (DELAYED, OLD, [b"Status: 4.0.0", b"Remote-MTA: dns; [2001:db8::1]", b"Diagnostic-Code: smtp; 451 later"]),
        (FAILED, TOO_LONG, [b"Status: 5.4.7", b"Diagnostic-Code: smtp; 451 later"]),
        (FAILED, b"Connection refused (#4.4.1)\n", [b"Status: 5.4.1"]),
        (FAILED, b"", [b"Status: 5.0.0"]),
        (FAILED, b"(#5.1)(#5.1.1111)(#5.a.b)", [b"Status: 5.0.0"]),
        (DELIVERED, b"did 1+0+0\n", [b"Status: 2.0.0"]),
        (RELAYED, TAKEN, [b"Status: 2.6.0", HOST, b"Diagnostic-Code: smtp; 250 2.6.0 ok"]),
    ],
)  # fmt: skip
def test_codes_and_hosts_are_taken_from_the_words(action: bytes, words: bytes, expected: list[bytes]) -> None:
    lines = deliverystatus.recipient_fields(Fate(action, b"a@b", words), b"").split(b"\n")
    for start in expected:
        assert any(line.startswith(start) for line in lines), (start, lines)


def test_fields_are_lines_whatever_is_in_them() -> None:
    fate = Fate(FAILED, b"a\nAction: delivered\r\n@b", b"\n\r\nAction: delivered\n\n" * 400)
    text = deliverystatus.recipient_fields(fate, b"rfc822;a+0D+0Ab")
    assert text.count(b"\nAction: ") == 1
    assert text.startswith(b"\nOriginal-Recipient: rfc822; a b\nFinal-Recipient: rfc822; a Action: delivered @b\n")
    assert max(map(len, text.split(b"\n"))) < 998


@pytest.mark.parametrize(
    ("recipient", "orcpt", "expected"),
    [
        (b"\xc3\xa9+\xe2\x82\xac@b", b"", b"Final-Recipient: utf-8; \\x{E9}\\x{2B}\\x{20AC}@b\n"),
        (b"\xff@b", b"", b"Final-Recipient: rfc822; ?@b\n"),
        (b"a@b", b"utf-8;+C3+A9@b", b"Original-Recipient: utf-8; \\x{E9}@b\n"),
        (b"a@b", b"utf-8;\\x{E9}@b", b"Original-Recipient: utf-8; \\x{E9}@b\n"),
        (b"a@b", b"rfc822;+C3+A9@b", b"Original-Recipient: rfc822; ??@b\n"),
    ],
)
def test_fields_are_in_ascii_whatever_is_in_them(recipient: bytes, orcpt: bytes, expected: bytes) -> None:
    text = deliverystatus.recipient_fields(Fate(FAILED, recipient, b"no \xc3\xa9 (#5.1.1)\n"), orcpt)
    assert text.isascii() and expected in text


@pytest.mark.parametrize(
    ("report", "local", "action"),
    [
        (b"did 1+0+0\n", True, DELIVERED), (b"hello\ndid 0+0+2\n", True, DELIVERED), (b"did 0+1+0\n", True, EXPANDED),
        (b"did 1+12+0\n", True, EXPANDED), (b"", True, DELIVERED), (b"did it\n", True, DELIVERED),
        (b"1.2.3.4 accepted message.\n", False, RELAYED), (b"accepted\0dsn", False, None),
        (b"accepted\0x", False, RELAYED),
    ],
)  # fmt: skip
def test_a_success_is_what_the_delivery_did(report: bytes, local: bool, action: bytes | None) -> None:
    fate = deliverystatus.success(b"a@b", report, local=local)
    assert (fate and fate.action) == action


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("message", "header"),
    [
        (b"A: b\nC: d\n\nbody\n\n", b"A: b\nC: d\n"), (b"\nbody\n", b""), (b"A: b\n", b"A: b\n"), (b"", b""),
        (b"A: b\n\n", b"A: b\n"), (b"A: b", b"A: b"),
    ],
)  # fmt: skip
def test_a_header_ends_at_the_empty_line(message: bytes, header: bytes, size: int) -> None:
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    assert b"".join(deliverystatus.header_only(pieces, 1000)) == header


def test_a_header_without_an_end_is_cut() -> None:
    assert sum(map(len, deliverystatus.header_only([b"x" * 600] * 10, 1000))) <= 1200
