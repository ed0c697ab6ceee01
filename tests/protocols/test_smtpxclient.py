"""protocols.smtpxclient: what a proxy may say of its client."""

from __future__ import annotations

import pytest

from qmail.formats.received import Origin
from qmail.protocols import smtplogin
from qmail.protocols.smtpevents import TLS
from qmail.protocols.smtpserver import Session
from qmail.protocols.smtpsite import OFFERED, Client, Site
from qmail.protocols.smtpxclient import LONGEST, introduction
from qmail.rules.relay import Door

IP, HOST, PORT, INFO = b"TCPREMOTEIP", b"TCPREMOTEHOST", b"TCPREMOTEPORT", b"TCPREMOTEINFO"


@pytest.mark.parametrize(
    ("argument", "variables"),
    [
        (b"ADDR=192.0.2.7", {IP: b"192.0.2.7", HOST: None, PORT: None, INFO: None}),
        (b"addr=ipv6:2001:DB8::7", {IP: b"2001:db8::7", HOST: None, PORT: None, INFO: None}),
        (b"ADDR=IPV6:::ffff:192.0.2.7", {IP: b"192.0.2.7", HOST: None, PORT: None, INFO: None}),
        (b"NAME=a.example ADDR=192.0.2.7 PORT=9", {IP: b"192.0.2.7", HOST: b"a.example", PORT: b"9", INFO: None}),
        (b"ADDR=[UNAVAILABLE] NAME=[tempunavail]", {IP: None, HOST: None, PORT: None, INFO: None}),
        (b"DESTADDR=192.0.2.1 DESTPORT=25", {b"TCPLOCALIP": b"192.0.2.1", b"TCPLOCALPORT": b"25", INFO: None}),
    ],
)
def test_attributes_become_variables(argument: bytes, variables: dict[bytes, bytes | None]) -> None:
    found = introduction(argument)
    assert found is not None and found.variables == variables


def test_values_are_in_xtext() -> None:
    found = introduction(b"HELO=a+2Bb+3D LOGIN=joe+40example.org PROTO=SMTP")
    assert found is not None and (found.hello, found.user) == (b"a+b=", b"joe@example.org")


@pytest.mark.parametrize(
    "argument",
    [
        b"", b"ADDR", b"ADDR=", b"ADDR=1.2.3", b"ADDR=1.2.3.4.5", b"ADDR=::1", b"ADDR=IPV6:1.2.3.4",
        b"ADDR=IPV6:fe80::1%x",
        b"PORT=65536", b"PORT=-1", b"PORT=x", b"NAME=a b=c", b"NAME=a;b", b"NAME=\xc3\xbc", b"NAME=(x)", b"PROTO=LMTP",
        b"HELO=+0A", b"HELO=+2", b"HELO=+", b"HELO=+zz", b"HELO=a+00", b"HELO=+20", b"LOGIN=+0D+0AX: y", b"LOGIN=",
        b"HELO=" + b"x" * (LONGEST + 1), b"ADDR=1.2.3.4 ADDR=1.2.3.5", b"COLOUR=red", b"=x",
    ],
)  # fmt: skip
def test_what_is_no_attribute_or_no_value_of_it_is_refused(argument: bytes) -> None:
    assert introduction(argument) is None


def test_who_was_said_in_clear_to_have_logged_in_has_not_under_tls() -> None:
    origin = Origin(b"client.example.net", b"192.0.2.9", None, b"mx.example.org")

    def client() -> Client:
        return Client(origin, tls=OFFERED, login=smtplogin.OFFERED, successor=lambda _variables: client())

    one = Session(Site(b"mx.example.org", Door([b"example.org"])), client())
    one.receive(b"XCLIENT LOGIN=joe\r\n")
    one.turn()
    assert (one.login.user, one.envelope.relay) == (b"joe", b"")
    one.receive(b"STARTTLS\r\n")
    assert one.turn() == TLS
    one.securing()
    one.secured(b"ESMTPS (TLSv1.3 x)")
    assert (one.login.user, one.envelope.relay) == (b"", None)
