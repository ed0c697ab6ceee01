"""DSN parameters and REQUIRETLS on their way to other hosts, through qmail-rspawn and its warm processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qmail.formats import mailparameters
from qmail.formats.mailparameters import NEVER, SUCCESS, Parameters, Wish
from scripted import Peer
from securing import Authority
from sender import Sender
from starttls import Server

RECIPIENT = b"r@far.example"
EVERYTHING = b"250-mx\r\n250-PIPELINING\r\n250-DSN\r\n250 REQUIRETLS\r\n"


def asked(ret: bytes = b"", envid: bytes = b"", *, requiretls: bool = False, wish: Wish | None = None) -> bytes:
    wishes = {} if wish is None else {RECIPIENT: wish}
    return mailparameters.single(Parameters(ret, envid, requiretls, wishes), RECIPIENT)


ALL = asked(b"HDRS", b"Q+2B1", wish=Wish(SUCCESS, b"rfc822;o@old.example"))
REQUIRED = asked(requiretls=True)


@pytest.fixture
def certificate(home: Path, tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, signed by one whom we trust."""
    authority = Authority(tmp_path / "authority")
    (home / "control/tlstrust.pem").write_bytes(authority.trust.read_bytes())
    return authority.certify(tmp_path / "certificates/mx", "mx.example")


@pytest.fixture
def sender(home: Path) -> Iterator[Sender]:
    (home / "control/me").write_text("client.example\n")
    (home / "control/timeoutremote").write_text("10\n")
    sender = Sender(home, wide=True)
    yield sender
    if sender.process.poll() is None:
        assert sender.end() == 0


def deliver(sender: Sender, port: int, parameters: bytes, number: int = 1) -> bytes:
    (sender.home / "control/smtproutes").write_text(f":[127.0.0.1]:{port}\n")
    sender.order((number, sender.message(number), b"s@a", RECIPIENT, parameters))
    return sender.reports(1)[number]


def commands(server: Server) -> list[bytes]:
    return [line for _, line in server.close() if line.startswith((b"MAIL", b"RCPT"))]


@pytest.mark.parametrize("pipelining", [b"250-PIPELINING\r\n", b""])
def test_a_server_that_does_dsn_gets_them_and_reports_by_itself(
    sender: Sender, certificate: Path, pipelining: bytes
) -> None:
    server = Server(certificate, offers=False, inner=b"250-mx\r\n%b250 DSN\r\n" % pipelining)
    assert deliver(sender, server.port, ALL).endswith(b"250 queued\n\0dsn")
    assert deliver(sender, server.port, b"", 2).endswith(b"250 queued\n"), "on the connection that was kept"
    assert deliver(sender, server.port, asked(wish=Wish(NEVER)), 3).endswith(b"\0dsn")
    assert sender.end() == 0
    assert commands(server) == [
        b"MAIL FROM:<s@a> RET=HDRS ENVID=Q+2B1\r\n",
        b"RCPT TO:<%b> NOTIFY=SUCCESS ORCPT=rfc822;o@old.example\r\n" % RECIPIENT,
        b"MAIL FROM:<s@a>\r\n", b"RCPT TO:<%b>\r\n" % RECIPIENT,
        b"MAIL FROM:<s@a>\r\n", b"RCPT TO:<%b> NOTIFY=NEVER\r\n" % RECIPIENT,
    ]  # fmt: skip


def test_another_server_does_not_and_the_delivery_says_so(sender: Sender, certificate: Path) -> None:
    server = Server(certificate, offers=False)
    assert deliver(sender, server.port, ALL).endswith(b"250 queued\n")
    assert sender.end() == 0
    assert commands(server) == [b"MAIL FROM:<s@a>\r\n", b"RCPT TO:<%b>\r\n" % RECIPIENT]


def test_a_program_that_is_started_knows_nothing_of_them(home: Path) -> None:
    (home / "control/me").write_text("client.example\n")
    ok = b"250 ok\r\n"
    talk = [b"220 mx\r\n", "line", ok, "line", ok, "line", ok, "line", b"354 go\r\n", "message", ok, "line"]
    with Peer(talk) as peer:
        sender = Sender(home, wide=True, QMAILREMOTE=str(home / "bin/qmail-remote"))
        assert deliver(sender, peer.port, ALL).startswith(b"K127.0.0.1 accepted message.\n")
        assert deliver(sender, peer.port, REQUIRED).startswith(b"DREQUIRETLS support required")
        assert sender.end() == 0
    assert b"MAIL FROM:<s@a>\r\n" in peer.got[0]


def test_requiretls_goes_on_where_it_is_kept(sender: Sender, certificate: Path) -> None:
    server = Server(certificate, inner=EVERYTHING)
    assert deliver(sender, server.port, REQUIRED).startswith(b"K127.0.0.1 accepted message.\n")
    assert deliver(sender, server.port, REQUIRED, 2).startswith(b"K")
    assert sender.end() == 0
    got = server.close()
    assert [line for _, line in got].count(b"STARTTLS\r\n") == 1, "on the same connection"
    assert [(how[:3], line) for how, line in got if line.startswith(b"MAIL")] == [
        ("TLS", b"MAIL FROM:<s@a> REQUIRETLS\r\n")
    ] * 2


@pytest.mark.parametrize(
    "why", ["no TLS", "no REQUIRETLS", "a stranger", "no REQUIRETLS on a connection that was kept"]
)
def test_fault_047_requiretls_comes_back_where_it_is_not_kept(
    sender: Sender, certificate: Path, tmp_path: Path, why: str
) -> None:
    stranger = Authority(tmp_path / "stranger").certify(tmp_path / "certificates/stranger", "mx.example")
    if why == "no TLS":
        server = Server(certificate, offers=False, inner=EVERYTHING)
    else:
        server = Server(
            stranger if why == "a stranger" else certificate, inner=EVERYTHING if why == "a stranger" else b"250 mx\r\n"
        )
    if "kept" in why:
        assert deliver(sender, server.port, b"").startswith(b"K")
    report = deliver(sender, server.port, REQUIRED, 2)
    assert report.startswith(b"DConnected to 127.0.0.1 but ")
    assert b". (#5.7.30)\n" in report
    assert (b"REQUIRETLS support required" in report) == ("REQUIRETLS" in why)
    assert sender.end() == 0
    assert len(commands(server)) == (2 if "kept" in why else 0)


def test_no_connection_is_used_again_that_was_made_for_mail_without_it(sender: Sender, certificate: Path) -> None:
    server = Server(certificate, inner=EVERYTHING)
    assert deliver(sender, server.port, b"").startswith(b"K")
    assert deliver(sender, server.port, REQUIRED, 2).startswith(b"K")
    assert deliver(sender, server.port, b"", 3).startswith(b"K")
    assert sender.end() == 0
    assert [line for _, line in server.close()].count(b"STARTTLS\r\n") == 2


def test_a_control_file_does_not_weaken_requiretls(sender: Sender, certificate: Path) -> None:
    (sender.home / "control/tlspolicy").write_text(":none\n")
    server = Server(certificate, inner=EVERYTHING)
    assert deliver(sender, server.port, REQUIRED).startswith(b"K")
    assert sender.end() == 0
    assert all(how != "plain" for how, line in server.close() if line.startswith(b"MAIL"))
