"""Certificates, and what is said about connections that speak TLS."""

from __future__ import annotations

import binascii

from fuzz.laws import Choices, Group, outcome
from qmail.formats import certificate, tlsa, tlsfacts
from qmail.rules import tlsproof
from qmail.rules.tlsneeds import MAY, Needs, Unmet

GROUP = Group()

NAME = bytes.fromhex("300f0603551d110408300682046d782e78")
TIMES = bytes.fromhex("301e170d3236313132363137313930325a170d3336313132333137313930325a")


@GROUP.target(
    certificate.BEGIN, certificate.END, certificate.KEY_BEGIN, certificate.KEY_END, b"\n", b"MIIB", b"=", b"\x30",
    b"\x82\1\0", b"\x84\xff\xff\xff\xff", NAME, TIMES, b"\x17\x0d", b"261126171902Z",
    b"\x18\x0f20610101000000Z", b"\xa3", b"\xa0\3\2\1\2", b"\2\1\1", b"\x30\0", b"\x80",
)  # fmt: skip
def certificate_file(data: bytes) -> None:
    """A certificate, or Broken, whatever stands between the marks."""
    encoded = certificate.BEGIN + b"\n" + binascii.b2a_base64(data) + certificate.END
    wrapped = b"\x30\x82" + len(data).to_bytes(2, "big") + data if len(data) < 65536 else data
    twice = certificate.BEGIN + binascii.b2a_base64(wrapped) + certificate.END
    for text in (data, encoded, twice):
        found = outcome(lambda text=text: certificate.first(text), certificate.Broken)  # type: ignore[misc]
        if isinstance(found, certificate.Certificate):
            found.covers(b"mx.example.org")
        known = outcome(lambda text=text: certificate.key(text), certificate.Broken)  # type: ignore[misc]
        assert not isinstance(found, certificate.Certificate) or known == found.key


@GROUP.target(
    b"\3\0\0", b"\3\1\1", b"\2\0\1", b"\2\1\2", b"\0\1\1", b"\3\0\1" + bytes(32), b"\x30\x82\1\0", b"\x30\0",
    b"\x30\x13" + b"\x30\0" * 6, TIMES, NAME, b"\4", b"\x20",
)  # fmt: skip
def tlsa_records(data: bytes) -> None:
    """Records and certificates of a stranger: only records that count tell a certificate."""
    choices = Choices(data)
    chain = [choices.text() for _ in range(3)]
    told = [b"\3\0\0" + chain[0]] if choices.flag() else []
    records = tlsa.usable([*told, *choices.texts(8)])
    assert all(record[0] in (tlsa.TA, tlsa.EE) for record in records)
    outcome(lambda: certificate.read(chain[0]), certificate.Broken)
    needs = Needs(MAY).told(records, (b"mx.x",))
    found = tlsproof.verdict(needs, chain)
    if records and told and chain[0]:
        assert found is None
    if isinstance(found, Needs):
        assert set(found.anchors) <= set(chain[1:])
        assert tlsproof.verdict(found, chain) is None or isinstance(tlsproof.verdict(found, chain), Unmet)


@GROUP.target(b"server ", b"60", b"\n", b"yes ", b"no ", b"TLSv1.3", b" ", b"-", b"mx.example.org", b"\xff", b"9999")
def tls_facts(data: bytes) -> None:
    """The lines between qmail-tlsd and who asks it: what is written is read."""
    seconds = outcome(lambda: tlsfacts.seconds(data), tlsfacts.Broken)
    assert not isinstance(seconds, int) or 0 < seconds <= tlsfacts.MOST_SECONDS
    facts = outcome(lambda: tlsfacts.answer(data), tlsfacts.Broken)
    if isinstance(facts, tlsfacts.Facts):
        assert facts.line == data
    choices = Choices(data)
    assert 0 < tlsfacts.seconds(tlsfacts.request(choices.large())) <= tlsfacts.MOST_SECONDS
    name = tlsfacts.server_name(choices.text().decode("latin-1"))
    assert name and b" " not in name and b"\n" not in name
    refusal = tlsfacts.refusal(choices.rest().decode("latin-1"))
    assert tlsfacts.answer(refusal) is None and refusal.count(b"\n") == 1 and len(refusal) < tlsfacts.LONGEST


TARGETS = GROUP.targets
