"""DSN (RFC 3461) and REQUIRETLS (RFC 8689) in a session: announced where they can be kept, and kept."""

from __future__ import annotations

import pytest

from qmail.formats.mailparameters import NEVER, Parameters, records
from qmail.formats.received import Origin
from qmail.protocols import recipients, smtpevents
from qmail.protocols.smtpserver import Session
from qmail.protocols.smtpsite import OFFERED, Client, Site
from qmail.rules.relay import Door

EVERYTHING = frozenset((b"DSN", b"REQUIRETLS"))


def session(extensions: frozenset[bytes] = EVERYTHING, *, carried: bool = True, protocol: bytes = b"SMTP") -> Session:
    site = Site(b"mx.example.org", Door([b"example.org"]), 0, extensions=extensions)
    origin = Origin(b"client.example.net", b"192.0.2.9", None, b"mx.example.org")
    return Session(site, Client(origin, protocol=protocol, tls=OFFERED, carried=carried))


def said(one: Session, *lines: bytes) -> bytes:
    """What it answers to these lines."""
    one.receive(b"".join(line + b"\r\n" for line in lines))
    while (event := one.turn()) != smtpevents.WAIT:
        if event == smtpevents.ASK:
            one.answered(recipients.TAKEN)
    return one.replies()


def besides(one: Session) -> list[bytes]:
    return records(one.envelope.besides or Parameters())


def test_parameters_come_into_the_envelope() -> None:
    one = session()
    assert b"250-DSN\r\n" in said(one, b"EHLO c")
    mail = b"MAIL FROM:<a@b> ret=hdrs SIZE=5 ENVID=QQ+2B"
    to = b"RCPT TO:<c@example.org> NOTIFY=Success,FAILURE ORCPT=rfc822;c+40d", b"RCPT TO:<d@example.org>"
    never = b"RCPT TO:<e@example.org> notify=never"
    assert said(one, mail, *to, never) == b"250 ok\r\n" * 4
    assert besides(one) == [
        b"mail HDRS QQ+2B =",
        b"rcpt SUCCESS,FAILURE rfc822;c+40d c@example.org",
        b"rcpt NEVER = e@example.org",
    ]
    assert one.envelope.besides is not None
    assert one.envelope.besides.of(b"e@example.org").notify == NEVER
    assert said(one, b"RSET", b"MAIL FROM:<a@b>", b"RCPT TO:<c@example.org>").count(b"250") == 3
    assert one.envelope.besides is None


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<a@b> RET=ALL", b"MAIL FROM:<a@b> RET", b"MAIL FROM:<a@b> ENVID=", b"MAIL FROM:<a@b> ENVID=a=b",
        b"MAIL FROM:<a@b> ENVID=" + b"a" * 101, b"MAIL FROM:<a@b> RET=FULL RET=FULL",
        b"RCPT TO:<c@example.org> NOTIFY=NEVER,DELAY", b"RCPT TO:<c@example.org> NOTIFY",
        b"RCPT TO:<c@example.org> ORCPT=c@d", b"RCPT TO:<c@example.org> ORCPT=rfc822;" + b"c" * 500,
    ],
)  # fmt: skip
def test_odd_values_are_refused_and_change_nothing(line: bytes) -> None:
    one = session()
    assert said(one, b"EHLO c", b"MAIL FROM:<z@y>").endswith(b"250 ok\r\n")
    assert said(one, line).startswith(b"501 ")
    assert (one.envelope.sender, one.envelope.recipients, one.envelope.besides) == (b"z@y", [], None)


def test_requiretls_is_there_under_tls_alone() -> None:
    one = session()
    assert b"REQUIRETLS" not in said(one, b"EHLO c")
    assert said(one, b"MAIL FROM:<a@b> REQUIRETLS").startswith(b"555 ")
    one.receive(b"STARTTLS\r\n")
    assert one.turn() == smtpevents.TLS
    one.securing()
    one.secured(b"ESMTPS")
    one.replies()
    assert b"250-REQUIRETLS\r\n" in said(one, b"EHLO c")
    assert said(one, b"MAIL FROM:<a@b> REQUIRETLS=yes").startswith(b"501 ")
    assert said(one, b"MAIL FROM:<a@b> requiretls", b"RCPT TO:<c@example.org>") == b"250 ok\r\n" * 2
    assert besides(one) == [b"mail = = REQUIRETLS"]


@pytest.mark.parametrize("one", [session(frozenset()), session(carried=False, protocol=b"ESMTPS")])
def test_what_is_not_switched_on_or_would_be_lost_is_not_taken(one: Session) -> None:
    assert said(one, b"EHLO c").count(b"\r\n") <= 4
    assert said(one, b"MAIL FROM:<a@b> RET=FULL").startswith(b"555 ")
    assert said(one, b"MAIL FROM:<a@b> REQUIRETLS").startswith(b"555 ")
    assert said(one, b"MAIL FROM:<a@b>", b"RCPT TO:<c@example.org> NOTIFY=NEVER").endswith(b"(#5.5.4)\r\n")
