"""protocols.smtpserver: what the server says and which messages it takes, however the bytes arrive."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.formats.received import Origin
from qmail.protocols import recipients, smtpevents
from qmail.protocols import smtpserver as smtp
from qmail.protocols.smtplines import LONGEST_LINE
from qmail.protocols.smtpreply import reply_to
from qmail.protocols.smtpsite import Client, Site, Unreadable
from qmail.rules.relay import Door

ORIGIN = Origin(b"client.example.net", b"192.0.2.7", None, b"mx.example.org")
RECEIVED = b"Received: from client.example.net (192.0.2.7)\n  by mx.example.org with SMTP; 1 Jan 1970 00:00:00 -0000\n"
MESSAGE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\nDATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
VERDICTS = {b"nobody": recipients.UNKNOWN, b"broken": recipients.TROUBLE, b"hidden": recipients.UNTOLD}


class Seen:
    """What came of a conversation."""

    def __init__(self) -> None:
        self.replies = b""
        self.messages: list[tuple[bytes, bytes, list[bytes]]] = []
        self.abandoned = 0
        self.code: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return repr(vars(self))

    @property
    def codes(self) -> str:
        """The codes of all replies, without continuation lines."""
        return " ".join(re.findall(r"^(\d\d\d) ", self.replies.decode("latin-1"), re.M))


def session(
    *, door: Door | None = None, limit: int = 0, relay: bytes | None = None, client_limit: int | None = None
) -> smtp.Session:
    door = door or Door([b"example.org"], [b"bad@evil.example"])
    return smtp.Session(Site(b"mx.example.org", door, limit), Client(ORIGIN, relay, client_limit))


def play(pieces: list[bytes], complaint: bytes = b"", **site: Any) -> Seen:
    """Feed the pieces, then the end of input, and answer for the queue."""
    one, seen, pieces = session(**site), Seen(), [*pieces, b""]
    seen.replies = one.greeting
    message: bytes | None = None
    while True:
        event = one.turn()
        if event == smtpevents.WAIT:
            seen.replies += one.replies()
            one.receive(pieces.pop(0))
        elif event == smtpevents.BEGIN:
            one.begin(0)
            message = one.content
        elif event in (smtpevents.CONTENT, smtpevents.COMMIT):
            assert message is not None
            message += one.content
            if event == smtpevents.COMMIT:
                if complaint:
                    one.refuse(reply_to(complaint))
                else:
                    seen.messages.append((message, one.envelope.sender, one.envelope.recipients))
                    one.accepted(7, 1000)
                message = None
        elif event == smtpevents.ASK:
            one.answered(VERDICTS.get(one.envelope.asked.partition(b"@")[0], recipients.TAKEN))
        elif event == smtpevents.ABANDON:
            assert message is not None
            message = None
            seen.abandoned += 1
        elif event == smtpevents.OVER:
            seen.replies += one.replies()
            seen.code = one.code
            return seen
        else:
            assert event == smtpevents.TURN


def talk(stream: bytes, complaint: bytes = b"", **site: Any) -> Seen:
    """The same conversation whole, byte by byte and in pieces of seven: all three must agree."""
    whole = play([stream] if stream else [], complaint, **site)
    for step in (1, 7):
        assert play([stream[i : i + step] for i in range(0, len(stream), step)], complaint, **site) == whole
    return whole


def test_a_message_is_taken_and_told_to_the_queue() -> None:
    seen = talk(b"HELO there\r\n" + MESSAGE + b"QUIT\r\n")
    assert seen.replies == (
        b"220 mx.example.org ESMTP\r\n250 mx.example.org\r\n250 ok\r\n250 ok\r\n354 go ahead\r\n"
        b"250 ok 1000 qp 7\r\n221 mx.example.org\r\n"
    )
    text = RECEIVED.replace(b" (192", b" (HELO there) (192") + b"Subject: x\n\nhello\n"
    assert seen.messages == [(text, b"a@b.example", [b"c@example.org"])]
    assert seen.code == 0


def test_fault_014_what_follows_a_message_is_answered_after_it() -> None:
    seen = talk(MESSAGE + MESSAGE + b"NOOP\r\nQUIT\r\nNOOP\r\n")
    assert seen.codes == "220 250 250 354 250 250 250 354 250 250 221" and len(seen.messages) == 2


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        pytest.param(b"RCPT TO:<c@example.org>", "503", id="fault_021"),
        pytest.param(b"DATA", "503", id="fault_021_data"),
        (b"MAIL FROM:<a@b>\nDATA", "250 503"),
        (b"MAIL FROM:<a@b>\nRSET\nRCPT TO:<c@example.org>", "250 250 503"),
        (b"MAIL FROM:<a@b>\nRCPT TO:<c@example.org>\nHELO x\nDATA", "250 250 250 503"),
        (b"MAIL FROM:<a@b>\nRCPT TO:<c@example.org>\nEHLO x\nDATA", "250 250 250 503"),
        pytest.param(
            b"MAIL FROM:<a@b>\nRCPT TO:<c@example.org>\nMAIL FROM:<d@e>\nDATA",
            "250 250 250 503",
            id="fault_021_second_mail",
        ),
        (b"MAIL", "250"),
        pytest.param(b"mail from : <a@b>\nRcPt\tTO:<c>", "250 502", id="fault_023"),
        (b"MAIL FROM:<bad@evil.example>\nRCPT TO:<c@example.org>\nRCPT TO:<c@no.example>", "250 553 553"),
        (b"MAIL FROM:<a@b>\nRCPT TO:<c@no.example>", "250 553"),
        pytest.param(b"MAIL FROM:<>\nRCPT TO:<postmaster>\nRCPT", "250 250 250", id="fault_022"),
        pytest.param(b"VRFY root\nEXPN list\nHELP %n%s\nNOOP x y\nETRN x", "252 502 214 250 502", id="fault_029_034"),
        (b" NOOP\nNOOP\t\nNOOP\r\n\nNO\0OP\nNOOP\0 x", "502 502 502 502 502 250"),
        pytest.param(b"\x16\x03\x01\x02\0\x01\nSSH-2.0-x", "502 502", id="fault_031"),
        (b"MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME\nMAIL FROM:<a@b> body=7bit size=0", "250 250"),
        pytest.param(
            b"MAIL FROM:<a@b> SIZE=-1\nMAIL FROM:<a@b> SIZE\nMAIL FROM:<a@b> BODY=foo", "501 501 501", id="fault_024"
        ),
        pytest.param(
            b"MAIL FROM:<a@b> SIZE=99999999999999999999\nMAIL FROM:<a@b> SIZE=999999999999999999999",
            "250 501",
            id="fault_024_size",
        ),
        pytest.param(b"MAIL FROM:<a@b> FOO\nMAIL FROM:<a@b> AUTH=+zz", "555 555", id="fault_024_unknown"),
        (b"MAIL FROM:<a@b>\nRCPT TO:<c@example.org> NOTIFY=NEVER", "250 555"),
        (b"XCLIENT ADDR=127.0.0.1 NAME=trusted.example", "502"),
    ],
)
def test_each_command_has_its_reply(lines: bytes, codes: str) -> None:
    stream = b"".join(line + b"\r\n" for line in lines.split(b"\n"))
    assert talk(stream).codes == "220 " + codes
    assert talk(stream).code == 1


def test_a_bare_line_feed_ends_a_command_too() -> None:
    assert talk(b"NOOP\nHELO x\nQUIT\n").codes == "220 250 250 221"


def test_a_too_long_second_mail_leaves_the_first_alone() -> None:
    seen = talk(MESSAGE.replace(b"DATA", b"MAIL FROM:<" + b"x" * 900 + b">\r\nDATA"))
    assert seen.codes == "220 250 250 555 354 250"
    assert seen.messages[0][1:] == (b"a@b.example", [b"c@example.org"])


def test_extensions_are_pipelining_8bitmime_and_size_where_there_is_a_limit() -> None:
    assert b"250-mx.example.org\r\n250-PIPELINING\r\n250 8BITMIME\r\n" in talk(b"EHLO x\r\n").replies
    assert b"250-PIPELINING\r\n250-SIZE 100\r\n250 8BITMIME\r\n" in talk(b"EHLO x\r\n", limit=100).replies
    assert b"SIZE" not in talk(b"EHLO x\r\n", limit=100, client_limit=0).replies
    assert talk(b"MAIL FROM:<a@b> SIZE=101\r\nMAIL FROM:<a@b> SIZE=100\r\n", limit=100).codes == "220 552 250"


def test_relayclient_opens_the_door_and_is_appended() -> None:
    seen = talk(MESSAGE.replace(b"example.org", b"no.example"), relay=b"@gate")
    assert seen.messages[0][2] == [b"c@no.example@gate"]


def test_an_address_literal_of_ours_is_the_local_host() -> None:
    door = Door([b"example.org"], local_host=b"example.org", is_ours=lambda literal: literal == b"192.0.2.1")
    seen = talk(MESSAGE.replace(b"@example.org", b"@[192.0.2.1]"), door=door)
    assert seen.messages[0][2] == [b"c@example.org"]
    door = Door([], local_host=b"y" * 30, is_ours=lambda _: True)
    assert talk(b"MAIL FROM:<" + b"x" * 880 + b"@[192.0.2.1]>\r\n", door=door).codes == "220 555"


@pytest.mark.parametrize(("size", "codes"), [(99, "250"), (100, "250"), (101, "552"), (5000, "552")])
def test_databytes_counts_line_ends_once(size: int, codes: str) -> None:
    stream = MESSAGE.partition(b"Subject")[0] + b"x" * (size - 1) + b"\r\n.\r\nNOOP\r\n"
    whole = play([stream], limit=100)
    assert whole.codes == f"220 250 250 354 {codes} 250"
    assert whole.abandoned == (codes == "552") and len(whole.messages) == (codes == "250")
    assert play([stream[i : i + 1] for i in range(len(stream))], limit=100) == whole


def test_hops_are_told_before_size() -> None:
    stream = MESSAGE.partition(b"Subject")[0] + b"Received: x\r\n" * 100 + b"\r\n.\r\nNOOP\r\n"
    assert talk(stream, limit=10).codes == "220 250 250 354 554 250"
    assert talk(stream.replace(b"Received: x\r\n", b"", 1)).codes == "220 250 250 354 250 250"


def test_a_bare_line_feed_in_a_message_ends_the_session() -> None:
    seen = talk(MESSAGE.replace(b"hello\r\n.", b"hello\n.") + b"QUIT\r\n")
    assert seen.replies.endswith(b"354 go ahead\r\n451 See https://cr.yp.to/docs/smtplf.html.\r\n")
    assert seen.code == 1 and not seen.messages


@pytest.mark.parametrize("cut", range(1, len(MESSAGE)))
def test_fault_017_a_cut_message_is_no_message(cut: int) -> None:
    seen = play([MESSAGE[:cut]])
    assert not seen.messages and seen.code == 1


@pytest.mark.parametrize(
    ("complaint", "reply"),
    [
        (b"Dno\r\n", b"554 no\r\n"),
        (b"Zqq crashed (#4.3.0)", b"451 qq crashed (#4.3.0)\r\n"),
        (b"Xa\nb\r\nc", b"451 a b  c\r\n"),
        (b"Zdisk full (#4.3.1)", b"452 disk full (#4.3.1)\r\n"),
    ],
)
def test_the_queue_may_refuse_and_the_session_goes_on(complaint: bytes, reply: bytes) -> None:
    seen = talk(MESSAGE + b"NOOP\r\n", complaint)
    assert seen.replies.endswith(b"354 go ahead\r\n" + reply + b"250 ok\r\n")


def test_without_a_queue_there_is_no_data() -> None:
    one = session()
    one.receive(MESSAGE.partition(b"Subject")[0])
    assert [one.turn(), one.turn()] == [smtpevents.TURN, smtpevents.ASK]
    one.answered(recipients.TAKEN)
    assert one.turn() == smtpevents.BEGIN
    one.refuse(b"451 no\r\n")
    assert one.turn() == smtpevents.WAIT and one.replies() == b"250 ok\r\n250 ok\r\n451 no\r\n"


def test_an_unreadable_control_file_ends_the_session() -> None:
    def more(_name: bytes) -> bool:
        raise Unreadable

    seen = talk(MESSAGE.replace(b"example.org", b"other.example") + b"QUIT\r\n", door=Door([b"x"], more=more))
    assert seen.replies.endswith(b"421 unable to read controls (#4.3.0)\r\n") and seen.code == 1
    seen = talk(b"MAIL FROM:<a@[127.0.0.1]>\r\n", door=Door([], local_host=b"x", is_ours=more))
    assert seen.codes == "220 421"


def test_a_timeout_is_told() -> None:
    one = session()
    assert one.turn() == smtpevents.WAIT
    one.timed_out()
    assert one.turn() == smtpevents.OVER and one.replies() == b"451 timeout (#4.4.2)\r\n" and one.code == 1


@pytest.mark.parametrize("size", [512, 513, 5000, LONGEST_LINE - 5])
def test_fault_025_long_commands_are_read(size: int) -> None:
    assert play([b"NOOP " + b"x" * size + b"\r\nNOOP\r\n"]).codes in ("220 250 250", "220 500 250")
    assert play([b"NOOP " + b"x" * (size - 7) + b"\r\nNOOP\r\n"]).codes == "220 250 250"


def test_fault_025_an_endless_command_takes_no_memory_and_gets_one_reply() -> None:
    one = session()
    for _ in range(160):
        one.receive(b"x" * 65_536)
        assert one.turn() == smtpevents.WAIT
        assert len(one.lines._buffer) <= LONGEST_LINE + 65_536
    one.receive(b"x\r\nQUIT\r\n")
    assert [one.turn(), one.turn()] == [smtpevents.TURN, smtpevents.OVER]
    assert one.replies() == b"500 line too long (#5.5.2)\r\n221 mx.example.org\r\n"


def test_fault_027_recipients_are_bounded() -> None:
    one, answers = session(), set()
    one.receive(b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<c@example.org>\r\n" * 100_000 + b"DATA\r\n")
    while (event := one.turn()) in (smtpevents.TURN, smtpevents.ASK):
        if event == smtpevents.ASK:
            one.answered(recipients.TAKEN)
        answers.add(one.replies())
    assert answers == {b"250 ok\r\n", b"452 too many recipients (#4.5.3)\r\n"}
    assert 10_000 < len(one.envelope.recipients) < 100_000


def test_fault_028_one_turn_is_one_command() -> None:
    one = session()
    one.receive(b"NOOP\r\n" * 10_000)
    for _ in range(10_000):
        assert one.turn() == smtpevents.TURN and one.replies() == b"250 ok\r\n"
    assert one.turn() == smtpevents.WAIT


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /x HTTP/1.0", b"OPTIONS * HTTP/2.0"])
def test_fault_030_a_browser_is_sent_away(line: bytes) -> None:
    seen = talk(line + b"\r\nHost: x\r\n\r\n" + MESSAGE)
    assert seen.codes == "220 502" and seen.code == 1 and not seen.messages
    assert talk(b"GET /\r\n").codes == "220 502"


WORDS = [
    b"HELO x", b"EHLO y", b"MAIL FROM:<a@b>", b"RCPT TO:<c@example.org>", b"DATA", b"RSET", b"NOOP", b"QUIT",
    b"\r\n", b"\n", b"\r", b".", b"\r\n.\r\n", b"x", b"\0", b"<", b">", b" ", b"Received: y",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS) | st.binary(max_size=5), max_size=30))
def test_any_bytes_give_the_same_conversation_in_any_pieces(words: list[bytes]) -> None:
    seen = talk(b"".join(words), limit=50)
    assert re.fullmatch(rb"(\d\d\d[ -][^\r\n]*\r\n)+", seen.replies)
