"""qmail-remote's warm process and TLS: real servers with OpenSSL, honest and hostile ones, on loopback."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Run
from scripted import Peer
from sender import Sender
from starttls import EHLO, INNER, Server

LIMIT = 20  # seconds for anything


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for mx.example and 127.0.0.1 that nobody has signed but itself, with its key."""
    place = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=DNS:mx.example,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mx.example",
         "-addext", names, "-keyout", place / "key", "-out", place / "certificate"],
        check=True, capture_output=True, timeout=LIMIT,
    )  # fmt: skip
    (place / "both").write_bytes((place / "certificate").read_bytes() + (place / "key").read_bytes())
    return place / "both"


@pytest.fixture
def sender(home: Path, certificate: Path) -> Iterator[Sender]:
    (home / "control/me").write_text("client.example\n")
    (home / "control/timeoutremote").write_text("10\n")
    (home / "control/tlstrust.pem").write_bytes(certificate.read_bytes().partition(b"-----BEGIN PRIVATE")[0])
    sender = Sender(home)
    yield sender
    if sender.process.poll() is None:
        assert sender.end() == 0


def deliver(sender: Sender, port: int, policy: str = "may", host: str = "far.example") -> bytes:
    wanted = {"smtproutes": f":[127.0.0.1]:{port}\n", "tlspolicy": f"{host}:{policy}\n"}
    files = {sender.home / "control" / name: text for name, text in wanted.items()}
    changed = {path: text for path, text in files.items() if not path.exists() or path.read_text() != text}
    if changed and any(path.exists() for path in files):
        time.sleep(1.1)  # a warm process looks at its files once a second
    for path, text in changed.items():
        path.write_text(text)
    sender.order((1, sender.message(1), b"s@a", b"r@" + host.encode()))
    return sender.reports(1)[1]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_tls_is_taken_where_it_is_offered_whoever_signed_it(sender: Sender, certificate: Path, version: str) -> None:
    server = Server(certificate, version=version)
    assert deliver(sender, server.port).startswith(b"K127.0.0.1 accepted message.\n")
    assert sender.end() == 0
    got = server.close()
    assert [line for how, line in got if how == "plain"] == [b"EHLO client.example\r\n", b"STARTTLS\r\n"]
    assert {how for how, line in got if line.startswith((b"MAIL", b"RCPT", b"DATA"))} == {version.replace("_", ".")}


def test_a_connection_in_tls_takes_more_than_one_message(sender: Sender, certificate: Path) -> None:
    server = Server(certificate)
    assert [deliver(sender, server.port)[:1] for _ in range(3)] == [b"K"] * 3
    assert sender.end() == 0
    got = server.close()
    assert [line for _, line in got].count(b"STARTTLS\r\n") == 1
    assert sum(line.startswith(b"MAIL") for _, line in got) == 3


def test_where_the_handshake_fails_mail_goes_without_tls(sender: Sender, certificate: Path) -> None:
    server = Server(certificate, breaks=True)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert deliver(sender, server.port).startswith(b"K")
    assert sender.end() == 0
    assert {how for how, line in server.close() if line.startswith(b"MAIL")} == {"plain"}


@pytest.mark.parametrize("policy", ["encrypt", "verify", "a-mistake"])
def test_fault_041_mail_that_must_have_tls_waits_where_it_cannot(
    sender: Sender, certificate: Path, policy: str
) -> None:
    server = Server(certificate, breaks=True)
    assert deliver(sender, server.port, policy) == b"ZConnected to 127.0.0.1 but TLS could not be agreed on. (#4.7.5)\n"
    assert not any(line.startswith(b"MAIL") for _, line in server.close())
    with Peer([b"220 mx\r\n", "line", INNER, "line"]) as peer:
        assert deliver(sender, peer.port, policy).startswith(b"ZConnected to 127.0.0.1 but it does not offer TLS")
        assert sender.end() == 0
    assert b"MAIL" not in peer.got[0]


def test_a_certificate_for_the_servers_name_is_demanded_where_the_policy_says_so(
    sender: Sender, certificate: Path, tmp_path: Path
) -> None:
    server = Server(certificate)
    assert deliver(sender, server.port, "verify").startswith(b"K"), "127.0.0.1 is in the certificate"
    other = tmp_path / "other"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-keyout", other, "-out", tmp_path / "certificate"],
        check=True, capture_output=True, timeout=LIMIT,
    )  # fmt: skip
    other.write_bytes(other.read_bytes() + (tmp_path / "certificate").read_bytes())
    stranger = Server(other)
    assert deliver(sender, stranger.port, "verify").startswith(b"ZConnected to 127.0.0.1 but TLS could not")
    assert deliver(sender, stranger.port, "encrypt").startswith(b"K")
    assert sender.end() == 0
    server.close()
    stranger.close()


def test_mail_goes_without_tls_where_the_policy_says_so(sender: Sender, certificate: Path) -> None:
    server = Server(certificate)
    assert deliver(sender, server.port, "none").startswith(b"K")
    assert deliver(sender, server.port, "encrypt").startswith(b"K"), "the plain connection that is kept is not used"
    assert sender.end() == 0
    assert [how == "plain" for how, line in server.close() if line.startswith(b"MAIL")] == [True, False]


def test_fault_040_words_before_the_handshake_are_not_taken_for_words_behind_it(
    sender: Sender, certificate: Path
) -> None:
    server = Server(certificate, behind=b"250-mx\r\n250 AUTH PLAIN\r\n")
    assert deliver(sender, server.port).startswith(b"ZConnected to 127.0.0.1 but connection died.")
    assert sender.end() == 0
    assert [line for _, line in server.close()] == [b"EHLO client.example\r\n", b"STARTTLS\r\n"]


def test_a_handshake_that_stalls_ends(sender: Sender) -> None:
    (sender.home / "control/timeoutremote").write_text("1\n")
    with Peer([b"220 mx\r\n", "line", EHLO, "line", b"220 go\r\n"], [b"220 mx\r\n", "line", b"550 no\r\n"]) as peer:
        assert deliver(sender, peer.port).startswith(b"ZConnected to 127.0.0.1 but my name was rejected.")
        assert sender.end() == 0
    assert len(peer.got) == 2


def test_qmail_remote_as_a_program_takes_tls_only_where_mail_must_have_it(
    sender: Sender, certificate: Path, program: Run
) -> None:
    server = Server(certificate)
    for policy in ("may", "encrypt", "verify"):
        (sender.home / "control/smtproutes").write_text(f":[127.0.0.1]:{server.port}\n")
        (sender.home / "control/tlspolicy").write_text(f"far.example:{policy}\n")
        done = program("qmail-remote", "far.example", "s@a", "r@far.example", stdin=b"Subject: t\n\n", env={
            "QMAIL_HOME": str(sender.home)})  # fmt: skip
        assert done.stdout.startswith(b"r\0K127.0.0.1 accepted message.\n"), done
    got = server.close()
    assert [how == "plain" for how, line in got if line.startswith(b"MAIL")] == [True, False, False]
    assert got[0] == ("plain", b"HELO client.example\r\n"), "nothing else without a need, as ever"
    with Peer([b"220 mx\r\n", "line", b"250-mx\r\n250 PIPELINING\r\n", "line"]) as peer:
        (sender.home / "control/smtproutes").write_text(f":[127.0.0.1]:{peer.port}\n")
        done = program("qmail-remote", "far.example", "s@a", "r@far.example", env={"QMAIL_HOME": str(sender.home)})
    assert done.stdout.startswith(b"ZConnected to 127.0.0.1 but it does not offer TLS")
    assert b"MAIL" not in peer.got[0]


def test_fault_048_a_server_that_hangs_up_without_close_notify_has_taken_what_it_said_it_took(
    sender: Sender, certificate: Path
) -> None:
    took, cut = Server(certificate, last=b"250 queued\r\n"), Server(certificate, last=b"250 que")
    assert deliver(sender, took.port, host="one.example").startswith(b"K127.0.0.1 accepted message.\n")
    assert deliver(sender, cut.port, host="two.example") == (
        b"ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n"
    )
    assert sender.end() == 0
    for server in (took, cut):
        assert any(line.startswith(b"MAIL") for how, line in server.close() if how != "plain")
