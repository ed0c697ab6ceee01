"""DSN parameters and REQUIRETLS: what clients may say, and what is written of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import besides, mailparameters, queuefile
from qmail.formats.mailparameters import DELAY, FAILURE, NEVER, SUCCESS, Malformed, Parameters, Wish
from qmail.formats.queuefile import Envelope

XTEXT = st.binary(min_size=1, max_size=33).map(mailparameters.encoded)
WISHES = st.builds(
    Wish,
    st.one_of(st.just(NEVER), st.integers(0, 7).map(lambda bits: bits << 1)),
    st.one_of(st.just(b""), XTEXT.map(lambda text: b"rfc822;" + text)),
)
ADDRESSES = st.binary(max_size=60).map(lambda text: text.replace(b"\0", b""))
ASKED = st.builds(
    Parameters,
    st.sampled_from([b"", b"FULL", b"HDRS"]),
    st.one_of(st.just(b""), XTEXT),
    st.booleans(),
    st.dictionaries(ADDRESSES, WISHES, max_size=5),
)


def picture(asked: Parameters | None) -> object:
    asked = asked or Parameters()
    wishes = {name: (wish.notify, wish.orcpt) for name, wish in asked.wishes.items()}
    return asked.ret, asked.envid, asked.requiretls, wishes


@given(ASKED, ADDRESSES, st.lists(ADDRESSES))
def test_what_is_written_is_read_again_everywhere(asked: Parameters, sender: bytes, recipients: list[bytes]) -> None:
    assert picture(mailparameters.parse(mailparameters.records(asked))) == picture(asked)
    assert picture(besides.parse_extension(besides.extension(asked))) == picture(asked)
    assert picture(queuefile.parse_info(queuefile.info(sender, asked))[1]) == picture(asked)
    todo = queuefile.parse_todo(queuefile.todo(Envelope(sender, recipients, 1004, 7, asked)))
    assert picture(todo.parameters) == picture(asked)
    assert (todo.sender, todo.recipients, todo.uid, todo.pid) == (sender, recipients, 1004, 7)


def as_c_qmail_reads(text: bytes) -> tuple[int, int, bytes, list[bytes]]:
    """uid, pid, sender and recipients of todo/N, as todo_do() of qmail-send.c finds them, by letters and numbers."""
    numbers, sender, recipients = {b"u": 0, b"p": 0}, b"", []
    for record in text.split(b"\0")[:-1]:
        letter, value = record[:1], record[1:]
        if letter in numbers:
            digits = re.match(rb"[0-9]*", value)
            numbers[letter] = int((digits and digits[0]) or b"0")
        elif letter == b"F":
            sender = value
        else:
            assert letter == b"T", "unknown record type"
            recipients.append(value)
    return numbers[b"u"], numbers[b"p"], sender, recipients


@given(ASKED, ADDRESSES, st.lists(ADDRESSES), st.integers(0, 2**32 - 1))
def test_c_qmail_reads_the_same_envelope_with_parameters_and_without(
    asked: Parameters, sender: bytes, recipients: list[bytes], uid: int
) -> None:
    text = queuefile.todo(Envelope(sender, recipients, uid, 7, asked))
    assert as_c_qmail_reads(text) == (uid, 7, sender, recipients)


@given(ASKED)
def test_c_qmail_reads_the_same_uid_and_nothing_else_in_records_of_parameters(asked: Parameters) -> None:
    for record in queuefile.asked(1004, asked).split(b"\0")[:-1]:
        assert record[:1] == b"u"
        digits = record[1:5]
        assert (digits, record[5:6]) == (b"1004", b" "), "scan_ulong(3) stops at the blank"
    assert queuefile.info(b"a@b", asked).partition(b"\0")[0] == b"Fa@b"


@given(st.binary(max_size=40))
def test_xtext_comes_back(text: bytes) -> None:
    shown = bytes(byte if 32 <= byte != 127 else 32 for byte in text)
    assert mailparameters.decoded(mailparameters.encoded(text)) == shown


@pytest.mark.parametrize(
    ("value", "bits"),
    [(b"NEVER", NEVER), (b"success", SUCCESS), (b"Failure,DELAY", FAILURE | DELAY), (b"SUCCESS,FAILURE,DELAY", 14)],
)
def test_notify(value: bytes, bits: int) -> None:
    assert mailparameters.notify(value) == bits


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (mailparameters.notify, b""), (mailparameters.notify, b"NEVER,FAILURE"), (mailparameters.notify, b"SUCCESS,"),
        (mailparameters.notify, b"SUCCESS,SUCCESS"), (mailparameters.notify, b"ALWAYS"),
        (mailparameters.ret, b"BODY"), (mailparameters.ret, b""),
        (mailparameters.envid, b""), (mailparameters.envid, b"a" * 101), (mailparameters.envid, b"a=b"),
        (mailparameters.envid, b"a+2b"), (mailparameters.envid, b"a+"), (mailparameters.envid, b"a b"),
        (mailparameters.envid, b"\xff"), (mailparameters.orcpt, b"a@b"), (mailparameters.orcpt, b";a@b"),
        (mailparameters.orcpt, b"rfc822;"), (mailparameters.orcpt, b"rfc 822;a"), (mailparameters.orcpt, b"x;a b"),
        (mailparameters.orcpt, b"rfc822;" + b"a" * 494),
    ],
)  # fmt: skip
def test_what_no_client_may_say(read: object, value: bytes) -> None:
    with pytest.raises(Malformed):
        read(value)  # type: ignore[operator]


@pytest.mark.parametrize("text", [b"+parameters\0", b"+parameters\0mail = = =\0", b"+parameters\0x = = =\0\0"])
def test_an_unfinished_or_unknown_extension_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        besides.parse_extension(text)


def test_what_does_not_begin_as_ours_is_none() -> None:
    assert besides.parse_extension(b"Tmore@x\0\0") is None
    assert besides.extension(Parameters()) == b""


def test_who_gets_forwarded_mail_is_not_told_of_to_its_sender() -> None:
    asked = Parameters(b"HDRS", b"E", True, {b"a@b": Wish(SUCCESS | DELAY, b"rfc822;o"), b"c@d": Wish(SUCCESS)})

    def onward(name: bytes) -> object:
        return picture(mailparameters.parse_single(mailparameters.single(asked, name)).for_others([b"x@y"]))

    assert onward(b"a@b") == (b"HDRS", b"E", True, {b"x@y": (DELAY, b"rfc822;o")})
    assert onward(b"c@d") == (b"HDRS", b"E", True, {b"x@y": (NEVER, b"")})
    assert onward(b"e@f") == (b"HDRS", b"E", True, {})


def test_what_must_not_travel_without_tls_does_not_where_other_records_make_no_sense() -> None:
    # As that of a recipient in front of whom a virtual domain's prefix stands that is longer than any.
    asked = Parameters(requiretls=True, wishes={b"prefix" * 200 + b"-joe@b": Wish(NEVER)})
    assert picture(queuefile.parse_info(queuefile.info(b"s@x", asked))[1]) == (b"", b"", True, {})
    asked.requiretls = False
    assert queuefile.parse_info(queuefile.info(b"s@x", asked)) == (b"s@x", None)


@pytest.mark.parametrize(
    ("recipients", "wish"),
    [(3000, (DELAY, b"rfc822;" + b"o" * 400)), (9000, (DELAY, b"")), (99_000, (0, b""))],
)
def test_a_list_is_sent_on_however_long_it_is(recipients: int, wish: tuple[int, bytes]) -> None:
    asked = Parameters(b"HDRS", b"E" * 100, True, {b"a@b": Wish(SUCCESS | DELAY, b"rfc822;" + b"o" * 400)})
    names = [b"member%05d@example.org" % number for number in range(recipients)]
    onward = mailparameters.parse_single(mailparameters.single(asked, b"a@b")).for_others(names)
    found = besides.parse_extension(besides.extension(onward))
    assert found is not None and (found.ret, found.requiretls) == (b"HDRS", True)
    assert all((found.of(name).notify, found.of(name).orcpt) == wish for name in names)
