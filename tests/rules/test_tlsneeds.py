"""rules.tlsneeds and rules.tlspolicy: what TLS mail needs, what meets it, and what is said where it is not met."""

from __future__ import annotations

import itertools

import pytest

from qmail.rules import tlsneeds, tlspolicy
from qmail.rules.tlsneeds import DANE, ENCRYPT, LOCAL, MAY, NOBODY, NONE, STS, TLSA, VERIFY, Needs, Unmet

LEVELS = (NONE, MAY, ENCRYPT, VERIFY, DANE)


@pytest.mark.parametrize(
    ("host", "level", "origin", "settled"),
    [
        (b"without.example", NONE, LOCAL, True),
        (b"Perhaps.Example", MAY, LOCAL, True),
        (b"must.example", ENCRYPT, LOCAL, False),
        (b"mx.proven.example", VERIFY, LOCAL, False),
        (b"mistaken.example", VERIFY, LOCAL, False),
        (b"proven.example", MAY, NOBODY, False),
    ],
)
def test_the_words_of_tlspolicy(host: bytes, level: int, origin: bytes, settled: bool) -> None:
    lines = (b"without.example:none", b"perhaps.example:MAY ", b"must.example:encrypt", b".proven.example:verify")
    policies = tlspolicy.table((*lines, b"mistaken.example:enrcypt"))
    needs = tlspolicy.needs(policies, host)
    assert (needs.level, needs.origin, needs.settled) == (level, origin, settled)


def test_a_source_raises_needs_and_never_lowers_them() -> None:
    for before, after in itertools.product(LEVELS, LEVELS):
        needs = Needs(before, LOCAL)
        needs.exchangers = (b"mx.example",)
        raised = needs.raised(after, TLSA)
        assert raised.level == max(before, after)
        assert raised.origin == (TLSA if after > before else LOCAL)
        assert raised.exchangers == needs.exchangers
        assert needs.level == before, "a value is not changed"


@pytest.mark.parametrize("secured", [False, True])
def test_a_session_serves_what_it_was_opened_for_and_what_needs_less(secured: bool) -> None:
    for wanted, held in itertools.product(LEVELS, LEVELS):
        met = Needs(wanted).met_by(Needs(held), secured=secured, exchanger=b"mx.example")
        if wanted == NONE:
            assert met is not secured
        elif wanted == MAY:
            assert met
        else:
            assert met is (secured and held >= wanted)


def test_where_nobody_has_looked_at_records_a_session_serves_only_who_wants_none() -> None:
    settled = Needs(MAY, LOCAL, settled=True)
    assert not Needs(MAY).met_by(settled, secured=True, exchanger=b"mx.example")
    assert settled.met_by(settled, secured=True, exchanger=b"mx.example")
    assert settled.met_by(Needs(MAY), secured=False, exchanger=b"mx.example")


def test_only_exchangers_of_the_policy_are_admitted() -> None:
    needs = Needs(MAY)
    assert needs.admit(b"any.example")
    needs.exchangers = (b"mx.example", b"*.mail.example")
    assert needs.admit(b"MX.example")
    assert needs.admit(b"a.mail.example")
    assert not needs.admit(b"a.b.mail.example")
    assert not needs.admit(b"mail.example")
    assert not needs.met_by(Needs(VERIFY), secured=True, exchanger=b"other.example")
    assert needs.met_by(Needs(DANE), secured=True, exchanger=b"other.example"), "TLSA records count instead"


def test_an_exchanger_that_cannot_meet_them_says_why() -> None:
    failing = Needs(MAY).failing(TLSA, Unmet(tlsneeds.DNSSEC_INVALID))
    assert failing.unmet is not None
    assert (failing.level, failing.origin, failing.unmet.result) == (ENCRYPT, TLSA, b"dnssec-invalid")
    assert tlsneeds.report(b"I found mx.example", failing.unmet, final=failing.final) == (
        b"ZI found mx.example but its TLSA records could not be looked up, and mail must not go to it without them. "
        b"(#4.7.5)\n"
    )


def test_what_is_final_comes_back() -> None:
    said = b"Remote host said: 250 mx\n"
    report = tlsneeds.report(b"Connected to 192.0.2.1", Unmet(tlsneeds.NO_STARTTLS), final=True, said=said)
    assert report.startswith(b"DConnected to 192.0.2.1 but it does not offer TLS")
    assert report.endswith(b" (#5.7.30)\n" + said)


def test_a_connection_without_tls_after_tls_failed_serves_who_may_do_without() -> None:
    plain = Needs(MAY, STS).without_tls()
    assert Needs(MAY).met_by(plain, secured=False, exchanger=b"mx.example")
    assert not Needs(ENCRYPT).met_by(plain, secured=False, exchanger=b"mx.example")


def test_a_message_that_requires_tls_needs_it_whatever_the_domain_says() -> None:
    for before in (Needs(NONE, LOCAL, settled=True), Needs(MAY), Needs(DANE, LOCAL)):
        needs = before.required()
        assert needs.final
        assert needs.level == max(VERIFY, before.level)
    for unsure in (tlsneeds.DNSSEC_INVALID, tlsneeds.UNSURE):
        assert tlsneeds.report(b"x", Unmet(unsure), final=True).startswith(b"Z"), "nobody could say"


@pytest.mark.parametrize(
    ("header", "waived"),
    [
        (b"Subject: x\nTLS-Required: No", True), (b"tls-required : no \nTo: a", True), (b"", False),
        (b"TLS-Required: Yes", False), (b"TLS-Required: No\nTLS-Required: No", False), (b"X-TLS-Required: No", False),
        (b"Subject: x\n TLS-Required: No", False),
    ],
)  # fmt: skip
def test_a_sender_waives_tls_by_one_field(header: bytes, waived: bool) -> None:
    assert tlsneeds.waived(header) == waived
