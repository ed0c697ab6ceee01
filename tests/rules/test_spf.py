"""SPF: what a record says of an address (RFC 7208)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from qmail.rules import spf

ADDRESS = b"\xcb\0\x71\5"  # 203.0.113.5
LONG = bytes.fromhex("20010db8") + bytes(11) + b"\5"


class Zone:
    """The DNS of one table: (type, name) to records."""

    def __init__(self, known: dict[tuple[str, str], list[bytes]]) -> None:
        self.known = known

    def find(self, kind: str, name: bytes) -> Sequence[bytes]:
        if name == b"silent.example":
            raise spf.Unsure
        return self.known.get((kind, name.decode()), [])

    def texts(self, name: bytes) -> Sequence[bytes]:
        return self.find("TXT", name)

    def addresses(self, name: bytes) -> Sequence[bytes]:
        return self.find("A", name)

    def exchangers(self, name: bytes) -> Sequence[bytes]:
        return self.find("MX", name)

    def names(self, address: bytes) -> Sequence[bytes]:
        return self.find("PTR", address.hex().encode())


ZONE = {
    ("A", "d.example"): [ADDRESS, LONG],
    ("A", "near.example"): [b"\xcb\0\x71\6", LONG[:15] + b"\6"],
    ("A", "mx.example"): [ADDRESS],
    ("MX", "d.example"): [b"none.example", b"mx.example"],
    ("MX", "many.example"): [b"mx.example"] * 11,
    ("TXT", "good.example"): [b"v=spf1 ip4:203.0.113.0/24 -all"],
    ("TXT", "bad.example"): [b"v=spf1 -all"],
    ("TXT", "broken.example"): [b"v=spf1 what"],
    ("PTR", ADDRESS.hex()): [b"a.d.example", b"forged.d.example"],
    ("A", "a.d.example"): [ADDRESS],
}


@pytest.mark.parametrize(
    ("record", "short", "long"),
    [
        ("v=spf1", "neutral", "neutral"),
        ("v=spf1 a", "pass", "pass"),
        ("V=SPF1 A -all", "pass", "pass"),
        ("v=spf1 -a all", "fail", "fail"),
        ("v=spf1 ?all", "neutral", "neutral"),
        ("v=spf1 mx ~all", "pass", "softfail"),
        ("v=spf1 a:near.example -all", "fail", "fail"),
        ("v=spf1 a:near.example/24 -all", "pass", "fail"),
        ("v=spf1 a:near.example//64 -all", "fail", "pass"),
        ("v=spf1 a:near.example/24//64 -all", "pass", "pass"),
        ("v=spf1 mx:d.example/30 -all", "pass", "fail"),
        ("v=spf1 mx:many.example", "permerror", "permerror"),
        ("v=spf1 ip4:203.0.113.5 -all", "pass", "fail"),
        ("v=spf1 ip4:203.0.113.4/31 ip6:2001:db8::/32 -all", "pass", "pass"),
        ("v=spf1 ip4:203.0.113.4/33", "permerror", "permerror"),
        ("v=spf1 a/33", "permerror", "permerror"),
        ("v=spf1 ptr -all", "pass", "fail"),
        ("v=spf1 ptr:other.example -all", "fail", "fail"),
        ("v=spf1 include:good.example -all", "pass", "fail"),
        ("v=spf1 include:bad.example ~all", "softfail", "softfail"),
        ("v=spf1 include:none.example ~all", "permerror", "permerror"),
        ("v=spf1 include:broken.example ~all", "permerror", "permerror"),
        ("v=spf1 redirect=good.example", "pass", "fail"),
        ("v=spf1 exp=x.example redirect=none.example", "permerror", "permerror"),
        ("v=spf1 redirect=bad.example ip4:203.0.113.5", "pass", "fail"),
        ("v=spf1 exists:mx.example -all", "pass", "pass"),
        ("v=spf1 exists:none.example -all", "fail", "fail"),
        ("v=spf1 exists:%{i}.x.example a -all", "pass", "pass"),
        ("v=spf1 exists:%{i}.x.example -all", "unsure", "unsure"),
        ("v=spf1 a:silent.example", "unsure", "unsure"),
        ("v=spf1 redirect=%{d}.example", "unsure", "unsure"),
        ("v=spf10 a", "none", "none"),
        ("hello", "none", "none"),
    ],
)
def test_a_record_says_who_may_send(record: str, short: str, long: str) -> None:
    zone = Zone({**ZONE, ("TXT", "r.example"): [record.encode()], ("TXT", "d.example"): [b"x", record.encode()]})
    found = []
    for address in (ADDRESS, LONG):
        try:
            found.append(spf.outcome(zone, b"d.example", address)[0].decode())
        except spf.Unsure:
            found.append("unsure")
    assert found == [short, long]


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1" + " a:near.example" * 10 + " ip4:203.0.113.5", b"pass"),
        ("v=spf1" + " a:near.example" * 11 + " ip4:203.0.113.5", b"it takes more than 10 lookups"),
        ("v=spf1 a:none.example mx:none.example ip4:203.0.113.5", b"pass"),
        ("v=spf1 a:none.example mx:none.example exists:none.example all", b"more than 2 of its lookups find nothing"),
        ("v=spf1 include:d.example", b"it takes more than 10 lookups"),
        ("v=spf1 redirect=d.example", b"it takes more than 10 lookups"),
        ("v=spf1" + " exists:%{i}%{i}%{i}.x.example" * 1000 + " a", b"pass"),
    ],
)
def test_fault_075_a_record_that_asks_for_too_much_is_broken(record: str, result: bytes) -> None:
    found, why = spf.outcome(Zone({**ZONE, ("TXT", "d.example"): [record.encode()]}), b"d.example", ADDRESS)
    assert (why or found) == result and (found == spf.BROKEN) == bool(why)


def test_two_records_are_none() -> None:
    zone = Zone({("TXT", "d.example"): [b"v=spf1 a", b"v=spf1 mx"]})
    assert spf.outcome(zone, b"d.example", ADDRESS) == (spf.BROKEN, b"d.example has 2 records, and one is allowed")
