"""What a domain's policy asks of TLS, beside what control/tlspolicy and TLSA records say."""

from __future__ import annotations

import pytest

from qmail.formats import mtasts
from qmail.rules import stsneeds
from qmail.rules.tlsneeds import (
    DANE,
    DANE_REQUIRED,
    ENCRYPT,
    FAILED,
    LOCAL,
    MAY,
    MISMATCH,
    NO_REQUIRETLS,
    NO_STARTTLS,
    NOBODY,
    NONE,
    STS,
    TLSA,
    TLSA_INVALID,
    UNTRUSTED,
    VERIFY,
    Needs,
)

MX = b"mx.example.org"
ENFORCE = mtasts.Policy(mtasts.ENFORCE, [b"*.example.org"], 86400)
TESTING = mtasts.Policy(mtasts.TESTING, [b"*.example.org"], 86400)
OFF = mtasts.Policy(mtasts.NONE, [], 86400)


@pytest.mark.parametrize(
    ("before", "level", "origin", "verifies"),
    [
        (Needs(MAY), VERIFY, STS, True),
        (Needs(ENCRYPT, LOCAL), VERIFY, STS, True),
        (Needs(VERIFY, LOCAL), VERIFY, LOCAL, True),
        (Needs(DANE, LOCAL), DANE, LOCAL, False),
        (Needs(MAY, LOCAL, settled=True), MAY, LOCAL, False),
        (Needs(NONE, LOCAL, settled=True), NONE, LOCAL, False),
    ],
)
def test_enforce_raises_what_is_not_settled(before: Needs, level: int, origin: bytes, verifies: bool) -> None:
    needs = stsneeds.needs(before, ENFORCE)
    assert (needs.level, needs.origin, needs.verifies) == (level, origin, verifies)
    assert (needs.exchangers is not None) == (level == VERIFY)


def test_testing_looks_at_certificates_and_asks_nothing() -> None:
    needs = stsneeds.needs(Needs(MAY), TESTING)
    assert (needs.level, needs.exchangers, needs.verifies) == (MAY, None, True)
    assert not needs.trying(False).verifies
    assert not needs.told([b"\3\1\1" + bytes(32)], [MX]).verifies, "TLSA records count instead"
    for policy in (OFF, None):
        before = Needs(MAY)
        assert stsneeds.needs(before, policy) is before


def test_an_exchanger_without_a_name_in_the_policy_is_passed_by() -> None:
    needs = stsneeds.needs(Needs(MAY), ENFORCE)
    assert stsneeds.at_exchanger(needs, b"MX.example.org") is needs
    refused = stsneeds.at_exchanger(needs, b"mx.example.net")
    assert refused.unmet is not None and (refused.unmet.result, refused.origin) == (MISMATCH, STS)
    told = needs.told([b"\3\1\1" + bytes(32)], [MX])
    assert stsneeds.at_exchanger(told, b"mx.example.net") is told, "unless it has TLSA records (RFC 8461 2)"
    assert stsneeds.at_exchanger(needs.told([], [MX]), b"mx.example.net").unmet is not None, "none that counts"


SAID: list[tuple[Needs, mtasts.Policy | None, bytes, bytes, bytes, tuple[bytes, bytes] | None]] = [
    # needs, policy, why there is none, exchanger, what went wrong; kind and failure that are reported
    (Needs(VERIFY, STS), ENFORCE, b"", MX, b"", (STS, b"")),
    (Needs(VERIFY, STS), ENFORCE, b"", MX, UNTRUSTED, (STS, UNTRUSTED)),
    (Needs(VERIFY, STS), ENFORCE, b"", MX, NO_REQUIRETLS, (STS, b"")),
    (Needs(MAY), TESTING, b"", b"mx.example.net", b"", (STS, MISMATCH)),
    (Needs(MAY), OFF, b"", MX, b"", (NOBODY, b"")),
    (Needs(MAY), None, b"sts-policy-invalid", MX, b"", (STS, b"sts-policy-invalid")),
    (Needs(MAY), None, b"", MX, NO_STARTTLS, (NOBODY, NO_STARTTLS)),
    (Needs(MAY), None, b"", MX, FAILED, (NOBODY, FAILED)),
    (Needs(VERIFY, LOCAL), None, b"", MX, UNTRUSTED, None),
    (Needs(DANE, LOCAL), None, b"", MX, DANE_REQUIRED, None),
    (Needs(DANE, TLSA), ENFORCE, b"", MX, TLSA_INVALID, (TLSA, TLSA_INVALID)),
]


@pytest.mark.parametrize(("needs", "policy", "failure", "exchanger", "result", "said"), SAID)
def test_what_reports_say(
    needs: Needs, policy: mtasts.Policy | None, failure: bytes, exchanger: bytes, result: bytes,
    said: tuple[bytes, bytes] | None,
) -> None:  # fmt: skip
    told = stsneeds.session(b"example.org", needs, policy, failure, exchanger, result)
    assert (told and (told.kind, told.result)) == said


def test_reports_quote_the_policy() -> None:
    needs = stsneeds.needs(Needs(MAY), ENFORCE)
    told = stsneeds.session(b"example.org", needs, ENFORCE, b"", MX, b"")
    assert told is not None and told.policy == ENFORCE.lines
    told = stsneeds.session(b"example.org", needs.told([b"\3\1\1\xff\0"], [MX]), ENFORCE, b"", MX, b"")
    assert told is not None and told.policy == [b"3 1 1 ff00"]
