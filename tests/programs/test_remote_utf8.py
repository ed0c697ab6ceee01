"""Addresses and headers beyond ASCII, sent to servers that speak SMTPUTF8 and to those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripted import Peer, Step
from sender import Sender

K = b"K127.0.0.1 accepted message.\nRemote host said: 250 queued\n"
NO = b"DConnected to 127.0.0.1 but it takes no addresses beyond ASCII (SMTPUTF8), and this message has one. (#5.6.7)\n"
ENVELOPE: list[Step] = ["line", "line", "line", b"250 ok\r\n250 ok\r\n354 go\r\n", "data", b"250 queued\r\n"]
MODERN: list[Step] = [b"220 mx\r\n", "line", b"250-mx\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n"]
OLD: list[Step] = [b"220 mx\r\n", "line", b"250-mx\r\n250 PIPELINING\r\n"]
LOCAL, HOST = "j\u00fcrgen".encode(), "b\u00fccher.example".encode()
A_LABEL = b"xn--bcher-kva.example"
PLAIN = b"Subject: t\n\n\xff body\n"
UTF8 = b" BODY=8BITMIME SMTPUTF8"


@pytest.fixture
def sender(home: Path) -> Iterator[Sender]:
    (home / "control/me").write_text("client.example\n")
    sender = Sender(home)
    yield sender
    assert sender.end() == 0


def said(sender: Sender, start: list[Step], *mails: tuple[bytes, bytes, bytes]) -> tuple[list[bytes], list[bytes]]:
    """(the reports, the MAIL and RCPT lines) of these mails: sender, recipient, text."""
    with Peer([*start, *ENVELOPE * len(mails)]) as peer:
        (sender.home / "control/smtproutes").write_text(f":[127.0.0.1]:{peer.port}\n")
        reports = []
        for number, (origin, recipient, text) in enumerate(mails, 1):
            sender.order((number, sender.message(number, text), origin, recipient))
            reports.append(sender.reports(1)[number])
    return reports, [line for line in peer.got[0].split(b"\r\n") if line.startswith((b"MAIL", b"RCPT"))]


@pytest.mark.parametrize(
    ("origin", "recipient", "text", "mail", "rcpt"),
    [
        (b"s@a", b"r@h", PLAIN, b"<s@a>", b"<r@h>"),
        (b"s@a", LOCAL + b"@h", PLAIN, b"<s@a>" + UTF8, b"<" + LOCAL + b"@h>"),
        (b"s@a", b"r@" + HOST, PLAIN, b"<s@a>" + UTF8, b"<r@" + HOST + b">"),
        (LOCAL + b"@a", b"r@h", PLAIN, b"<" + LOCAL + b"@a>" + UTF8, b"<r@h>"),
        (b"", LOCAL + b" x@h", PLAIN, b"<>" + UTF8, b'<"' + LOCAL + b' x"@h>'),
        (b"s@a", b"r@h", b"Subject: \xc3\xbc\n\nbody\n", b"<s@a>" + UTF8, b"<r@h>"),
        (b"s@a", b"r@h", b"Subject: \xfc\n\nbody\n", b"<s@a>", b"<r@h>"),  # Latin 1: no word is true of it
    ],
)
def test_smtputf8_is_said_where_it_is_needed_and_offered(
    sender: Sender, origin: bytes, recipient: bytes, text: bytes, mail: bytes, rcpt: bytes
) -> None:
    assert said(sender, MODERN, (origin, recipient, text)) == ([K], [b"MAIL FROM:" + mail, b"RCPT TO:" + rcpt])


def test_fault_062_without_smtputf8_a_host_has_its_name_in_ascii_and_a_local_part_beyond_ascii_comes_back(
    sender: Sender,
) -> None:
    mails = [
        (b"s@" + HOST, b"r@" + HOST, b"Subject: \xc3\xbc\n\nbody\n"),
        (b"s@a", LOCAL + b"@h", PLAIN),
        (LOCAL + b"@a", b"r@h", PLAIN),
        (b"s@a", b"\xfc@h", PLAIN),
        (b"s@a", b"r@h", PLAIN),
    ]
    reports, lines = said(sender, OLD, *mails)
    assert reports == [K, NO, NO, NO, K]
    assert lines == [
        b"MAIL FROM:<s@" + A_LABEL + b">", b"RCPT TO:<r@" + A_LABEL + b">", b"MAIL FROM:<s@a>", b"RCPT TO:<r@h>",
    ]  # fmt: skip


def test_fault_063_a_route_is_found_by_either_form_of_a_name(sender: Sender) -> None:
    with Peer([*OLD, *ENVELOPE, *ENVELOPE]) as peer:
        (sender.home / "control/smtproutes").write_bytes(
            HOST.upper() + b":[127.0.0.1]:%d\n:[127.0.0.1]:1\n" % peer.port
        )
        for number, host in enumerate((HOST, A_LABEL.upper()), 1):
            sender.order((number, sender.message(number, PLAIN), b"s@a", b"r@" + host))
            assert sender.reports(1)[number] == K
