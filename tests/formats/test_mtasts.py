"""MTA-STS: announcements and policies (RFC 8461 3), and the rules for what is none."""

from __future__ import annotations

import pytest

from qmail.formats import certificate, mtasts

TEXT = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\nmax_age: 604800\r\n"


def test_the_policy_of_the_standard() -> None:
    policy = mtasts.policy(TEXT)
    assert (policy.mode, policy.max_age) == (mtasts.ENFORCE, 604800)
    assert policy.patterns == (b"mail.example.com", b"*.example.net")
    assert policy.lines == [
        b"version: STSv1", b"mode: enforce", b"mx: mail.example.com", b"mx: *.example.net", b"max_age: 604800",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        (b"mail.example.com", True), (b"MAIL.example.COM", True), (b"example.com", False),
        (b"a.example.net", True), (b"example.net", False), (b"a.b.example.net", False), (b"aexample.net", False),
    ],
)  # fmt: skip
def test_a_star_stands_for_one_label(name: bytes, fits: bool) -> None:
    assert certificate.covers(mtasts.policy(TEXT).patterns, name) == fits


@pytest.mark.parametrize(
    ("text", "mode", "age"),
    [
        (b"mx:a.b\nmax_age:1\nmode:testing\nversion:STSv1", mtasts.TESTING, 1),
        (b"version: STSv1\nmode: none\nmax_age: 86400\n", mtasts.NONE, 86400),
        (TEXT + b"future: yes\r\n", mtasts.ENFORCE, 604800),
        (TEXT + b"mode: none\r\nmax_age: 1\r\n\r\n", mtasts.ENFORCE, 604800),
        (TEXT.replace(b"604800", b"9999999999"), mtasts.ENFORCE, mtasts.LONGEST_AGE),
        (TEXT.replace(b": ", b" \t:  ").replace(b"\r\n", b"  \r\n"), mtasts.ENFORCE, 604800),
    ],
)
def test_policies_that_are_good(text: bytes, mode: bytes, age: int) -> None:
    policy = mtasts.policy(text)
    assert (policy.mode, policy.max_age) == (mode, age)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"<html>", TEXT.replace(b"STSv1", b"STSv2"), TEXT.replace(b"version: STSv1\r\n", b""),
        TEXT.replace(b"enforce", b"Enforce"), TEXT.replace(b"604800", b"-1"), TEXT.replace(b"604800", b"99999999999"),
        TEXT.replace(b"mail.example.com", b"*"), TEXT.replace(b"mail.example.com", b"*.*.example.com"),
        TEXT.replace(b"mail.example.com", b"a*.example.com"), TEXT.replace(b"mail.example.com", b"192.0.2.1 x"),
        TEXT.replace(b"mail.example.com", b""), TEXT + b"no field\r\n", TEXT + b"\xff: x\r\n",
        b"version: STSv1\nmode: enforce\nmax_age: 1\n", TEXT + b"mx: a.b\n" + b"x: y\n" * 20_000,
        TEXT + b"".join([b"mx: %d.example.org\n" % i for i in range(mtasts.MOST_PATTERNS)]),
    ],
)  # fmt: skip
def test_policies_that_are_none(text: bytes) -> None:
    with pytest.raises(mtasts.Broken):
        mtasts.policy(text)


@pytest.mark.parametrize(
    ("records", "identity"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], b"20160831085700Z"),
        ([b"v=STSv1;id=1"], b"1"),
        ([b"v=STSv1 ; x=y; id=1 ; z=\xff"], b"1"),
        ([b"v=spf1 -all", b"v=STSv1; id=1;"], b"1"),
        ([b"v=STSv1; id=1;", b"v=STSv1; id=2;"], None),
        ([b"v=STSv1; id=;"], None),
        ([b"v=STSv1; id=a-b;"], None),
        ([b"v=STSv1; id=%b;" % (b"1" * 33)], None),
        ([b"v=STSv1"], None),
        ([b"v=STSv12; id=1;"], None),
        ([b"V=STSv1; id=1;"], None),
        ([], None),
    ],
)
def test_announcements(records: list[bytes], identity: bytes | None) -> None:
    assert mtasts.announced(records) == identity


@pytest.mark.parametrize(
    ("name", "can"),
    [
        (b"example.org", True), (b"xn--bcher-kva.example", True), (b"a-b.c1", True), (b"org", False), (b"", False),
        (b"a..b", False), (b".a.b", False), (b"a.b.", False), (b"-a.b", False), (b"a_b.c", False), (b"A.b", False),
        (b"a/b.c", False), (b"../a.b", False), (b"a" * 64 + b".b", False), (b".".join([b"a" * 60] * 4), True),
        (b".".join([b"a" * 61] * 4), False), (b"a.b\n", False),
    ],
)  # fmt: skip
def test_domains_that_can_have_one(name: bytes, can: bool) -> None:
    assert mtasts.is_domain(name) == can
