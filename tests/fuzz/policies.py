"""Policies of MTA-STS, what is asked and told about them, counts of sessions, and who wants reports."""

from __future__ import annotations

import json

from fuzz.laws import Choices, Group, outcome
from qmail.formats import mtasts, tlscount, tlsreport
from qmail.protocols import policyquery

GROUP = Group()


@GROUP.target(
    b"version: STSv1", b"\n", b"\r\n", b"mode: ", b"enforce", b"testing", b"none", b"mx: ", b"*", b"*.",
    b"mx.example.org", b"max_age: 86400", b"max_age:99999999999", b" ", b"\t", b":", b"x_y.z: 1", b"\xff",
    b"mx:*.a.b\nmx:c.d\n",
    before=b"version: STSv1\nmode: enforce\nmax_age: 1\n",
)  # fmt: skip
def policy_text(data: bytes) -> None:
    """A policy or Broken; what is quoted of one in reports says the same again."""
    policy = outcome(lambda: mtasts.policy(data), mtasts.Broken)
    if isinstance(policy, mtasts.Policy):
        assert policy.mode == mtasts.NONE or policy.patterns
        assert 0 <= policy.max_age <= mtasts.LONGEST_AGE
        again = mtasts.policy(b"\n".join(policy.lines))
        assert (again.mode, again.patterns, again.max_age) == (policy.mode, policy.patterns, policy.max_age)
        assert tlscount.session(tlscount.line(tlscount.Session(b"a.b", b"sts", policy.lines))).domain == b"a.b"
    assert policyquery.parse(data).policy is None or data[:1] == policyquery.FOUND
    told = policyquery.parse(policyquery.FOUND + data)
    assert (told.policy is None) == (policy is mtasts.Broken)


@GROUP.target(b"v=STSv1", b";", b" ", b"\t", b"id=", b"id=1", b"a", b"=", b"v=STSv1;id=2;", b"0" * 33, b"\xff")
def policy_announcement(data: bytes) -> None:
    """An id of letters and digits, or nothing; and names of domains that may be names of files."""
    for records in ([data], [b"other", data], [data, data]):
        found = mtasts.announced(records)
        assert found is None or (found.isalnum() and len(found) <= 32 and records != [data, data])
    if mtasts.is_domain(data):
        assert b"/" not in data and data[:1] not in (b".", b"") and b"." in data and len(data) <= 255


@GROUP.target(
    b"example.org\tsts\t", b"tlsa", b"no-policy-found", b"\t", b"certificate-expired", b"mx.example.org", b"192.0.2.1",
    b"mode: enforce", b"\n", b"12\t", b"\0", b"\xff", b" ", before=b"a.b\tsts\t\t\t\t\t",
)  # fmt: skip
def session_counts(data: bytes) -> None:
    """A line is a session that has this line, or Broken; a file of a day keeps what it can be read as."""
    session = outcome(lambda: tlscount.session(data), tlscount.Broken)
    if isinstance(session, tlscount.Session):
        assert tlscount.line(session).count(b"\n") == 0
        assert tlscount.coarse(data).startswith(session.domain.lower() + b"\t")
        heading = tlsreport.Heading(session.domain, b"h", b"p@h", b"2026-11-26", 0)
        json.loads(tlsreport.report(heading, {session: 3}))
    found = tlscount.counts(data)
    assert tlscount.counts(tlscount.day(found.items())) == found


@GROUP.target(
    b"v=TLSRPTv1", b";", b"rua=", b"mailto:", b"tls@example.org", b"https://x/", b",", b"%40", b"%0a", b"%", b" ", b"?",
    b"!", b"\xff", b"\n", b"v=TLSRPTv1;rua=mailto:a@b",
)  # fmt: skip
def report_places(data: bytes) -> None:
    """Places, and addresses that can stand in a header and an envelope."""
    places = tlsreport.wanted([data])
    assert len(places) <= tlsreport.MOST_WANTING and tlsreport.wanted([data, data]) == []
    for place in (*places, data, b"mailto:" + Choices(data).rest()):
        address = tlsreport.mailbox(place)
        assert address is None or (b"@" in address and not set(address) & set(b"\r\n\0 ,<>"))


TARGETS = GROUP.targets
