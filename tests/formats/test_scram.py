"""What is kept for SCRAM: the RFCs' own examples, and text that comes back."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.formats import saslprep, scram

# RFC 7677 3.
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
MESSAGE = (
    b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def proof(password: bytes, keys: scram.Keys, message: bytes) -> bytes:
    """A client's, as RFC 5802 3 has it."""
    salted = hashlib.pbkdf2_hmac("sha256", password, keys.salt, keys.iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client).digest(), message, "sha256")
    return bytes(a ^ b for a, b in zip(client, signature, strict=True))


def test_the_example_of_the_rfc_is_proved_and_answered() -> None:
    keys = scram.made(b"pencil", SALT, 4096)
    assert keys is not None
    assert keys.proved_by(MESSAGE, PROOF)
    assert keys.signature(MESSAGE) == SIGNATURE
    assert not keys.proved_by(MESSAGE + b"x", PROOF)
    assert not keys.proved_by(MESSAGE, PROOF[:-1] + b"x")
    assert not keys.proved_by(MESSAGE, b"")


@settings(max_examples=30, deadline=None)
@given(st.text("abc é\u00aa\u2168", min_size=1).map(str.encode), st.binary(min_size=1, max_size=40))
def test_what_is_written_down_lets_the_same_password_in(password: bytes, salt: bytes) -> None:
    keys = scram.made(password, salt, 5)
    prepared = saslprep.prepared(password)
    assert (keys is None) == (prepared is None)
    if keys is not None and prepared is not None:
        again = scram.read(keys.text())
        assert again is not None and again.text() == keys.text()
        assert again.proved_by(b"m", proof(prepared, keys, b"m"))
        assert not again.proved_by(b"m", proof(b"other", keys, b"m"))


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        # RFC 4013 3
        ("I\u00adX", b"IX"),
        ("user", b"user"),
        ("USER", b"USER"),
        ("\u00aa", b"a"),
        ("\u2168", b"IX"),
        ("\x07", None),
        ("\u06271", None),
        ("a\u00a0b", b"a b"),
        ("\u0627\u0628", "\u0627\u0628".encode()),
        ("", None),
        ("\u0221", None),  # not in Unicode 3.2
    ],
)
def test_passwords_are_prepared_as_sasl_wants(text: str, prepared: bytes | None) -> None:
    assert saslprep.prepared(text.encode()) == prepared


def test_bytes_that_are_no_utf8_have_no_keys() -> None:
    assert scram.made(b"\xff", b"salt", 5) is None


GOOD = scram.Keys(4096, b"salt", b"k" * 32, b"s" * 32).text()


@pytest.mark.parametrize(
    "text",
    [
        b"", b"x", GOOD[:-1], GOOD + b"x", GOOD.replace(b"256", b"1"), GOOD.replace(b"4096", b"0"),
        GOOD.replace(b"4096", b"-5"), GOOD.replace(b"4096", b"9" * 30), GOOD.replace(b"$", b":"), GOOD * 2,
        b"SCRAM-SHA-256$4096:$" + GOOD.split(b"$")[2],
    ],
)  # fmt: skip
def test_what_is_no_key_is_none(text: bytes) -> None:
    assert scram.read(text) is None


@given(st.binary())
def test_any_bytes_are_keys_or_none(text: bytes) -> None:
    found = scram.read(text)
    assert found is None or found.iterations > 0
