"""The client's side of SMTP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.protocols import smtpclient
from qmail.protocols.replyreader import Broken, Reader, Reply, code
from qmail.protocols.smtpclient import MESSAGE, OVER, Conversation, stuffed


def reply(text: str) -> Reply:
    line = text.encode() + b"\n"
    return Reply(code(line), line)


def played(replies: list[str], *, recipients: list[bytes], extended: bool = False) -> tuple[Conversation, bytes]:
    """A conversation fed with these replies; where the message is due it is taken as sent."""
    talk, said = Conversation(b"192.0.2.1", b"me.example", extended=extended), b""
    talk.begin(b"s@a", recipients)
    for each in replies:
        if talk.stage == OVER:
            break
        talk.heard(reply(each))
        said += talk.take()
        if talk.stage == MESSAGE:
            said += b"<message>\r\n"
            talk.sending_last()
    return talk, said


def test_a_plain_server_gets_one_command_at_a_time() -> None:
    talk, said = played(["220 x", "250 x", "250 ok", "250 ok", "354 go", "250 done"], recipients=[b"r@b"])
    assert said == b"HELO me.example\r\nMAIL FROM:<s@a>\r\nRCPT TO:<r@b>\r\nDATA\r\n<message>\r\n"
    assert talk.report == b"r\0K192.0.2.1 accepted message.\nRemote host said: 250 done\n\0"
    assert talk.reusable


def test_a_server_with_pipelining_gets_the_envelope_in_one_write() -> None:
    talk = Conversation(b"192.0.2.1", b"me", extended=True)
    talk.begin(b"", [b"r@b", b"q@b"])
    talk.heard(reply("220 x"))
    assert talk.take() == b"EHLO me\r\n"
    talk.heard(Reply(250, b"250-x\n250-SIZE 10\n250 pipelining\n"))
    assert talk.extensions == {b"SIZE", b"PIPELINING"}
    assert talk.take() == b"MAIL FROM:<>\r\nRCPT TO:<r@b>\r\nRCPT TO:<q@b>\r\nDATA\r\n"


@pytest.mark.parametrize("refusal", ["500 what", "502 no", "501 no", "504 no"])
def test_a_server_that_does_not_know_ehlo_is_told_helo(refusal: str) -> None:
    talk, said = played(["220 x", refusal, "250 x"], recipients=[b"r@b"], extended=True)
    assert said == b"EHLO me.example\r\nHELO me.example\r\nMAIL FROM:<s@a>\r\n"
    assert talk.extensions == frozenset()


@pytest.mark.parametrize(
    ("replies", "report"),
    [
        (["554 no"], b"ZConnected to 192.0.2.1 but greeting failed.\nRemote host said: 554 no\n\0"),
        (["220 x", "421 no"], b"ZConnected to 192.0.2.1 but my name was rejected.\nRemote host said: 421 no\n\0"),
        (["220 x", "250 x", "550 n"], b"DConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 550 n\n\0"),
        (
            ["220 x", "250 x", "250 ok", "450 a", "550 b"],
            b"s192.0.2.1 does not like recipient.\nRemote host said: 450 a\n\0"
            b"h192.0.2.1 does not like recipient.\nRemote host said: 550 b\n\0DGiving up on 192.0.2.1.\n\0",
        ),
        (
            ["220 x", "250 x", "250 ok", "450 a", "250 b", "354 go", "452 full"],
            b"s192.0.2.1 does not like recipient.\nRemote host said: 450 a\n\0r\0"
            b"Z192.0.2.1 failed after I sent the message.\nRemote host said: 452 full\n\0",
        ),
    ],
)
@pytest.mark.parametrize("extended", [False, True])
def test_fault_081_refusals_are_reported_the_same_with_and_without_pipelining(
    replies: list[str], report: bytes, extended: bool
) -> None:
    talk = Conversation(b"192.0.2.1", b"me", extended=extended)
    talk.begin(b"s@a", [b"r@b", b"q@b"])
    for each in replies:
        answer = reply(each)
        if each == "250 x" and extended:
            answer = Reply(250, b"250-x\n250 PIPELINING\n")
        talk.heard(answer)
        if talk.stage == MESSAGE:
            talk.sending_last()
    assert talk.report == report
    assert talk.polite
    assert not talk.reusable


def test_a_connection_lost_after_the_dot_may_mean_a_duplicate() -> None:
    talk, _ = played(["220 x", "250 x", "250 ok", "250 ok", "354 go"], recipients=[b"r@b"])
    talk.dropped()
    assert talk.report == b"r\0ZConnected to 192.0.2.1 but connection died. Possible duplicate! (#4.4.2)\n\0"
    assert not talk.again


@pytest.mark.parametrize("replies", [[], ["421 bye"], ["250 ok", "452 enough"], ["250 ok", "250 ok", "421 bye"]])
def test_a_worn_out_connection_asks_for_a_fresh_one(replies: list[str]) -> None:
    talk, _ = played(["220 x", "250 x", "250 ok", "250 ok", "354 go", "250 done"], recipients=[b"r@b"])
    talk.begin(b"s@a", [b"r@b"])
    for each in replies:
        talk.heard(reply(each))
    if not replies:
        talk.dropped()
    assert talk.again


def test_a_fresh_connection_never_asks_for_another() -> None:
    talk, _ = played(["220 x", "250 x", "421 bye"], recipients=[b"r@b"])
    assert talk.report.startswith(b"ZConnected")
    assert not talk.again


@given(st.lists(st.integers(200, 999), max_size=12), st.integers(1, 3), st.booleans())
def test_whatever_a_server_answers_the_report_is_whole(codes: list[int], count: int, extended: bool) -> None:
    talk, _ = played([f"{each} x" for each in codes], recipients=[b"r@b"] * count, extended=extended)
    if talk.stage != OVER:
        talk.dropped()
    records = talk.report.split(b"\0")
    assert records.pop() == b""
    assert records[-1][:1] in (b"K", b"Z", b"D")
    assert all(record[:1] in (b"r", b"h", b"s") for record in records[:-1])
    assert len(records) <= count + 1


# Whatever the message holds, the wire has only whole lines, and a dot only in a doubled pair


odd_pieces = st.sampled_from([b"\r", b"\n", b".", b"a", b"\0", b"\xff", b"\r\n", b"\r\n.", b"\r."])


@given(st.lists(odd_pieces), st.integers(1, 5))
def test_fault_011_012_no_message_makes_an_end_of_data_of_its_own(pieces: list[bytes], size: int) -> None:
    text = b"".join(pieces)
    wire, fresh, rest = b"", True, text
    while rest:
        end = min(size, len(rest))
        while end < len(rest) and rest[end - 1 : end] == b"\r":
            end += 1
        block, rest = rest[:end], rest[end:]
        wire += stuffed(block, fresh)
        fresh = block.endswith((b"\n", b"\r"))
    assert b"\r" not in wire.replace(b"\r\n", b"")
    assert b"\n" not in wire.replace(b"\r\n", b"")
    lines = wire.split(b"\r\n")
    assert all(not line.startswith(b".") or line.startswith(b"..") for line in lines)
    unstuffed = b"\n".join(line[1:] if line.startswith(b".") else line for line in lines)
    assert unstuffed == text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


# A reply is whole, or an error, within limits


@given(st.lists(st.binary(max_size=30)))
def test_fault_079_any_bytes_are_replies_or_an_error(pieces: list[bytes]) -> None:
    reader = Reader()
    try:
        for piece in pieces:
            reader.feed(piece)
            while (one := reader.next()) is not None:
                assert one.code >= 0
                assert len(one.text) <= 5000
    except Broken:
        pass


@given(st.integers(0, 40))
def test_a_reply_is_the_same_whole_and_byte_by_byte(cut: int) -> None:
    data = b"250-first\r\n250-second \r\n250 third\r\n354 go\n"
    reader = Reader()
    reader.feed(data[:cut])
    found = []
    while (one := reader.next()) is not None:
        found.append(one)
    for at in range(cut, len(data)):
        reader.feed(data[at : at + 1])
        while (one := reader.next()) is not None:
            found.append(one)
    assert [(one.code, one.text) for one in found] == [
        (250, b"250-first\n250-second \n250 third\n"),
        (354, b"354 go\n"),
    ]
    assert reader.idle


@pytest.mark.parametrize(
    ("line", "value"), [(b"abc x\n", 5451), (b"999 x\n", 999), (b"   x\n", 999), (b"\xff00\n", 20700)]
)
def test_a_code_that_is_no_number_is_a_refusal(line: bytes, value: int) -> None:
    assert code(line) == value


def test_fault_079_083_a_reply_without_end_is_an_error() -> None:
    reader = Reader()
    with pytest.raises(Broken):
        for _ in range(3000):
            reader.feed(b"220-go on\r\n")
            reader.next()
    reader = Reader()
    with pytest.raises(Broken):
        for _ in range(100):
            reader.feed(b"2" * 4000)
            reader.next()


def test_keywords_of_ehlo_are_read_in_any_case() -> None:
    assert smtpclient.extensions(b"250-mx.example hi\n250-Size 100\n250-AUTH\n250 8bitmime\n") == {
        b"SIZE",
        b"AUTH",
        b"8BITMIME",
    }
