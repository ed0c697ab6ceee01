"""formats.tlsa: which records count, and which certificates they tell; rules.tlsproof: what comes of that."""

from __future__ import annotations

import hashlib
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import certificate, tlsa
from qmail.rules import tlsproof
from qmail.rules.tlsneeds import DANE, MISMATCH, TLSA_INVALID, UNTRUSTED, VERIFY, Needs, Unmet

# Made by `openssl req -x509`, for *.example; and its key and digests, as `openssl pkey` and `openssl dgst` tell them.
SHOWN = b64decode("""
MIIBljCCATugAwIBAgIULbLVF3ixWMQ7kvP2APdFx5/C/SAwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKY2EuZXhhbXBsZTAeFw0yNjExMjYyMTEwMjJaFw0zNjExMjMy
MTEwMjJaMBUxEzARBgNVBAMMCmNhLmV4YW1wbGUwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQBMLcmoCnTBMvZ7eUPSqGAdIxhD1cpaiogeWjv7S1sg0iAT/nHWWFp
biXwmljdnp/8Yi44SI/Qg2Qwx6Tl/Kymo2kwZzAdBgNVHQ4EFgQUeDLu5za/XEU9
oGFrC9y+1mDMV4UwHwYDVR0jBBgwFoAUeDLu5za/XEU9oGFrC9y+1mDMV4UwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALggkqLmV4YW1wbGUwCgYIKoZIzj0EAwID
SQAwRgIhAN2uFDxm9P/TTLfxjH/XkwxwcxZ7na7bDPmD/b1rJBYYAiEAh7DfuXb6
wJza6UVgctrVwuwuja0OTq/NUwHgYAMxI0c=
""")
KEY = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d030107034200040130b726a029d304cbd9ede50f4aa180748c610f57296a2a207968ef"
    "ed2d6c8348804ff9c75961696e25f09a58dd9e9ffc622e38488fd0836430c7a4e5fcaca6"
)
SHOWN_256 = bytes.fromhex("a3c3edec5355eba88b721195bdf39f020c134d864153d45738cb372b71c6f701")
KEY_256 = bytes.fromhex("54e1648da12afff7aa0ab7f7008415dae84f30357e301e54ef139e4719f136c2")
KEY_512 = bytes.fromhex(
    "ffa1a9d316a321a90cc5bb4fa78557b678d0e86422afaa0a6b0b4b2d02a77b01"
    "7657e8577e711b90c88a06c8b0e566771a605dd057e832899cd34067e687f382"
)
OTHER = SHOWN[:-1] + b"\0"  # signed by nobody, but with the same key

TOLD = [b"\0\0" + SHOWN, b"\0\1" + SHOWN_256, b"\1\0" + KEY, b"\1\1" + KEY_256, b"\1\2" + KEY_512]


def test_the_public_key_is_the_one_that_openssl_finds() -> None:
    shown = certificate.read(SHOWN)
    assert (shown.key, shown.names) == (KEY, [b"*.example"])


@pytest.mark.parametrize("told", TOLD)
def test_each_selector_and_matching_type_tells_a_certificate(told: bytes) -> None:
    for usage in (tlsa.EE, tlsa.TA):
        record = bytes((usage,)) + told
        assert tlsa.usable([record]) == [record]
        assert tlsa.tell([record], SHOWN) is (usage == tlsa.EE)
        same_key = [OTHER] if told[0] == tlsa.KEY else []
        assert tlsa.anchors([record], [OTHER, SHOWN]) == ([] if usage == tlsa.EE else [*same_key, SHOWN])
        changed = record[:-1] + bytes((record[-1] ^ 1,))
        assert not tlsa.tell([changed], SHOWN)
        assert not tlsa.anchors([changed], [SHOWN])


@given(st.binary(max_size=80))
def test_only_records_that_can_fit_something_count(record: bytes) -> None:
    counts = len(record) > 3 and record[0] in (2, 3) and record[1] < 2
    counts = counts and {0: True, 1: len(record) == 35, 2: len(record) == 67}.get(record[2], False)
    assert tlsa.usable([record]) == ([record] if counts else [])


@pytest.mark.parametrize("usage", [0, 1, 4, 255])
def test_fault_045_usages_that_mail_does_not_know_count_for_nothing(usage: int) -> None:
    assert tlsa.usable([bytes((usage,)) + told for told in TOLD]) == []


def test_of_digests_of_the_same_thing_the_stronger_one_counts() -> None:
    weak, strong, whole = b"\3\1\1" + KEY_256, b"\3\1\2" + bytes(64), b"\3\1\0" + bytes(8)
    other = b"\2\1\1" + KEY_256
    assert tlsa.usable([weak, strong, whole, other]) == [strong, whole, other]
    assert len(tlsa.usable([weak] * 1000)) == tlsa.MOST


@given(st.binary(max_size=300))
def test_a_certificate_that_cannot_be_read_has_no_key_that_fits(shown: bytes) -> None:
    digest = hashlib.sha256(shown).digest()
    assert tlsa.tell([b"\3\0\1" + digest], shown)
    assert not tlsa.tell([b"\3\1\1" + digest], shown)


def dane(*records: bytes) -> Needs:
    return Needs(VERIFY).told(list(records), (b"mx.example", b"far.example"))


def test_what_comes_of_the_certificates_that_were_shown() -> None:
    assert tlsproof.verdict(Needs(VERIFY), [OTHER]) is None, "that one was looked at in the handshake"
    assert tlsproof.verdict(dane(b"\3\0\1" + SHOWN_256), [SHOWN]) is None
    wrong = tlsproof.verdict(dane(b"\3\0\1" + SHOWN_256), [OTHER, SHOWN])
    assert isinstance(wrong, Unmet) and wrong.result == TLSA_INVALID
    assert isinstance(tlsproof.verdict(dane(b"\2\0\1" + SHOWN_256), [SHOWN]), Unmet), "its own is not another's"
    both = tlsproof.verdict(dane(b"\2\0\1" + SHOWN_256), [OTHER, SHOWN])
    assert isinstance(both, Needs) and both.anchors == [SHOWN] and both.level == DANE
    assert tlsproof.verdict(both, [SHOWN]) is None
    both.names = (b"mx.elsewhere.test",)
    stranger = tlsproof.verdict(both, [SHOWN])
    assert isinstance(stranger, Unmet) and stranger.result == MISMATCH
    nonsense = tlsproof.verdict(both, [b"nonsense"])
    assert isinstance(nonsense, Unmet) and nonsense.result == UNTRUSTED
