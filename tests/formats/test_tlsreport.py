"""Who wants reports on TLS, and where a report can go; the report itself is looked at with the program."""

from __future__ import annotations

import pytest

from qmail.formats import tlsreport
from qmail.formats.tlscount import LONGEST, Session, line, session


@pytest.mark.parametrize(
    ("records", "places"),
    [
        ([b"v=TLSRPTv1; rua=mailto:a@b"], [b"mailto:a@b"]),
        ([b"v=TLSRPTv1;rua=mailto:a@b , https://c/d;x=y"], [b"mailto:a@b", b"https://c/d"]),
        ([b"v=spf1", b"v=TLSRPTv1; rua=mailto:a@b"], [b"mailto:a@b"]),
        ([b"v=TLSRPTv1; rua=mailto:a@b"] * 2, []),
        ([b"v=TLSRPTv2; rua=mailto:a@b"], []),
        ([b"v=TLSRPTv1; ruf=mailto:a@b"], []),
        ([b"v=TLSRPTv1; rua="], []),
        ([b"v=TLSRPTv1; rua=" + b",".join([b"mailto:a@b"] * 99)], [b"mailto:a@b"] * tlsreport.MOST_WANTING),
    ],
)
def test_who_wants_one(records: list[bytes], places: list[bytes]) -> None:
    assert tlsreport.wanted(records) == places


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        (b"mailto:a@b", b"a@b"), (b"MAILTO:a%2Bc@b", b"a+c@b"), (b"mailto:a@b?subject=x", b"a@b"),
        (b"https://a@b", None), (b"mailto:ab", None), (b"mailto:a%0a@b", None), (b"mailto:a%20b@c", None),
        (b"mailto:a,b@c", None), (b"mailto:<a@b>", None), (b"mailto:a@b@c", None), (b"mailto:", None), (b"", None),
        (b"mailto:%ff@b", None), (b"mailto:" + b"a" * 400 + b"@b", None),
    ],
)  # fmt: skip
def test_where_it_can_go(uri: bytes, address: bytes | None) -> None:
    assert tlsreport.mailbox(uri) == address


def test_a_long_policy_loses_its_last_lines_and_no_count() -> None:
    told = session(line(Session(b"a.b", b"sts", [b"mx: %d.example.org" % i for i in range(500)])))
    assert len(line(told)) <= LONGEST
    assert 100 < len(told.policy) < 500 and told.policy[0] == b"mx: 0.example.org"
