"""Logging in: each mechanism, RFC 7677's own example, and clients that speak nonsense."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import scram
from qmail.protocols.sasl import (
    LOGIN,
    LONGEST,
    MECHANISMS,
    PLAIN,
    SCRAM,
    Challenge,
    Done,
    Exchange,
    Failed,
    Password,
    Wanted,
)

NONCE = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = base64.b64decode(b"W22ZaJ0SNY7soEsUEjb6gQ==")
KEYS = scram.made(b"pencil", SALT, 4096)
FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


def keyed(first: bytes = FIRST) -> Exchange:
    exchange = Exchange(SCRAM, NONCE)
    assert isinstance(exchange.begin(first), Wanted)
    assert KEYS is not None
    assert isinstance(exchange.keyed(KEYS), Challenge)
    return exchange


def test_the_example_of_the_standard_comes_out() -> None:
    exchange = Exchange(SCRAM, NONCE)
    assert isinstance(exchange.begin(None), Challenge)
    step = exchange.heard(FIRST)
    assert isinstance(step, Wanted) and step.name == b"user"
    assert KEYS is not None
    step = exchange.keyed(KEYS)
    assert isinstance(step, Challenge)
    assert step.text == b"r=rOprNGfwEbeRWgbNEkqO%b,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096" % NONCE
    step = exchange.heard(FINAL)
    assert isinstance(step, Challenge)
    assert step.text == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    step = exchange.heard(b"")
    assert isinstance(step, Done) and step.name == b"user"


@pytest.mark.parametrize(
    "final",
    [
        FINAL.replace(b"p=dH", b"p=dI"),
        FINAL.replace(b"c=biws", b"c=eSws"),
        FINAL.replace(b"EkqO%", b"EkqO#"),
        FINAL[:-3],
        FINAL.partition(b",p=")[0],
        b"",
        b"p=",
    ],
)
def test_nobody_gets_in_by_anything_but_the_proof(final: bytes) -> None:
    exchange = keyed()
    assert isinstance(exchange.heard(final), Failed)


@pytest.mark.parametrize(
    "first",
    [
        b"", b"n,,", b"n,,n=user", b"n,,r=x,n=user", b"n,,n=,r=x", b"n,,n=user,r=", b"p=tls-unique,,n=user,r=x",
        b"n,x=user,n=user,r=x", b"n,a=user", b"n", b"x,,n=user,r=x",
        b"n,,m=ext,n=user,r=x", b"n,,n=us=er,r=x", b"n,,n=\xff\xfe,r=x", b"n,,n=a\0b,r=x",
        b"n,,n=" + b"x" * 256 + b",r=x",
    ],
)  # fmt: skip
def test_first_words_that_are_none_are_refused(first: bytes) -> None:
    step = Exchange(SCRAM, NONCE).begin(first)
    assert isinstance(step, Failed) and step.malformed


def test_a_name_may_hold_a_comma_and_an_equals_sign() -> None:
    step = Exchange(SCRAM, NONCE).begin(b"n,,n=a=2Cb=3Dc,r=x")
    assert isinstance(step, Wanted) and step.name == b"a,b=c"


def test_a_client_may_name_itself_twice_and_nobody_else_beside_itself() -> None:
    for first in (b"n,a=user,n=user,r=x", b"y,a=a=2Cb,n=a=2Cb,r=x"):
        assert isinstance(Exchange(SCRAM, NONCE).begin(first), Wanted)
    for first in (b"n,a=other,n=user,r=x", b"n,a=us=er,n=user,r=x"):
        step = Exchange(SCRAM, NONCE).begin(first)
        assert isinstance(step, Failed) and not step.malformed


@pytest.mark.parametrize("acting", [b"", b"joe"])
def test_plain_asks_for_name_and_password(acting: bytes) -> None:
    exchange = Exchange(PLAIN, NONCE)
    step = exchange.begin(acting + b"\0joe\0secret word")
    assert isinstance(step, Password) and (step.name, step.password) == (b"joe", b"secret word")
    assert isinstance(exchange.decided(False), Failed)
    done = exchange.decided(True)
    assert isinstance(done, Done) and done.name == b"joe"


@pytest.mark.parametrize(
    "text",
    [b"", b"joe", b"\0joe", b"\0joe\0", b"\0\0word", b"\0joe\0a\0b", b"root\0joe\0word", b"\0joe\0" + b"x" * 256],
)
def test_fault_051_plain_without_all_its_parts_lets_nobody_in(text: bytes) -> None:
    assert isinstance(Exchange(PLAIN, NONCE).begin(text), Failed)


def test_login_asks_for_one_after_the_other() -> None:
    exchange = Exchange(LOGIN, NONCE)
    first = exchange.begin(None)
    assert isinstance(first, Challenge) and first.text == b"Username:"
    second = exchange.heard(b"joe")
    assert isinstance(second, Challenge) and second.text == b"Password:"
    step = exchange.heard(b"word")
    assert isinstance(step, Password) and (step.name, step.password) == (b"joe", b"word")


def test_login_takes_the_name_with_the_command_too() -> None:
    exchange = Exchange(LOGIN, NONCE)
    assert isinstance(exchange.begin(b"joe"), Challenge)
    assert isinstance(exchange.heard(b"word"), Password)


def test_what_is_unknown_or_too_long_is_refused() -> None:
    assert isinstance(Exchange(b"CRAM-MD5", NONCE).begin(None), Failed)
    for mechanism in MECHANISMS:
        assert isinstance(Exchange(mechanism, NONCE).begin(b"x" * (LONGEST + 1)), Failed)


@given(st.sampled_from(MECHANISMS), st.lists(st.binary(max_size=80), max_size=4))
def test_no_words_lead_anywhere_but_to_a_question(mechanism: bytes, words: list[bytes]) -> None:
    exchange = Exchange(mechanism, NONCE)
    for word in words:
        step = exchange.heard(word)
        assert not isinstance(step, Done)
        if isinstance(step, Wanted) and KEYS is not None:
            exchange.keyed(KEYS)
        elif isinstance(step, Failed | Password):
            break
