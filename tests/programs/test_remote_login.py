"""qmail-remote logs in at a relay: ours, Exim, and hostile ones; under TLS that is verified, and only then."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root, wait_until
from exim import Exim
from journeys.conftest import free_port
from postfix import Postfix
from programs.test_qmail_tlsd import serve
from programs.test_remote_tls import certificate
from qmail.protocols.saslclient import Exchange
from qmail.rules import tlsneeds
from qmail.stores.home import Home
from qmail.stores.installation import create
from qmail.stores.nexthop import NextHops
from qmail.stores.remotecontrols import Settings
from securing import Tls
from sender import Sender
from serving import Start
from starttls import Server

__all__ = ["certificate"]  # a fixture

K = b"K127.0.0.1 accepted message.\n"
PLAIN = b"AUTH PLAIN " + base64.b64encode(b"\0joe\0a:secret") + b"\r\n"


@pytest.fixture
def sender(home: Path, certificate: Path) -> Iterator[Sender]:
    (home / "control/me").write_text("client.example\n")
    (home / "control/timeoutremote").write_text("10\n")
    (home / "control/tlstrust.pem").write_bytes(certificate.read_bytes().partition(b"-----BEGIN PRIVATE")[0])
    credentials(home, "[127.0.0.1]:joe:a:secret\n")
    sender = Sender(home)
    yield sender
    if sender.process.poll() is None:
        assert sender.end() == 0


def credentials(home: Path, text: str, mode: int = 0o600) -> None:
    path = home / "control/smtpcredentials"
    path.write_text(text)
    path.chmod(mode)
    if os.geteuid() == 0:
        shutil.chown(path, "qmailr")


def deliver(sender: Sender, port: int) -> bytes:
    routes = sender.home / "control/smtproutes"
    if not routes.exists():
        routes.write_text(f":[127.0.0.1]:{port}\n")
    sender.order((1, sender.message(1), b"joe@example.org", b"r@far.example"))
    return sender.reports(1)[1]


def changed() -> None:
    time.sleep(1.1)  # a warm process looks at its files once a second


def said(server: Server) -> list[tuple[str, bytes]]:
    return [(how, line) for how, line in server.close() if line[:4] not in (b"EHLO", b"QUIT", b"STAR")]


# ---- our own


@pytest.fixture
def relay(tmp_path: Path, certificate: Path) -> Iterator[Path]:
    """A home where joe's password is `a:secret`, with what it takes to log in, and a queue."""
    home = tmp_path / "relay"
    create(os.fsencode(home))
    (home / "bin").rmdir()
    (home / "bin").symlink_to(BIN)
    (home / "control/me").write_text("mx.example\n")
    (home / "control/rcpthosts").write_text("example.org\n")
    shutil.copy(certificate, home / "control/servercert.pem")
    (home / "control/servercert.pem").chmod(0o600)
    env = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home)}
    command = [BIN / "qmail-password", "-a", "nobody", "joe"]
    subprocess.run(command, input=b"a:secret\n", env=env, check=True, capture_output=True)
    started = [
        subprocess.Popen([BIN / name], env=env, stdin=subprocess.DEVNULL) for name in ("qmail-authd", "qmail-queued")
    ]
    with Tls(home):
        wait_until(lambda: (home / "qp/login").is_socket() and (home / "qq/socket").is_socket())
        yield home
    for process in started:
        process.terminate()
        process.wait(30)


def test_our_own_submission_service_lets_us_in_by_scram(sender: Sender, relay: Path, tmp_path: Path) -> None:
    with Start(tmp_path) as start:
        server = serve(start, relay, SMTPAUTH="!")
        assert deliver(sender, server.port).startswith(K)
        assert deliver(sender, server.port).startswith(K), "the connection is kept, and who logged in stays so"
        (message, *more) = [path.read_bytes() for path in (relay / "queue/mess").glob("*/*")]
        assert b"with ESMTPSA (" in message and len(more) == 1
        credentials(sender.home, "[127.0.0.1]:joe:wrong\n")
        changed()
        report = deliver(sender, server.port)
        assert report.startswith(
            b"ZConnected to 127.0.0.1 but it does not let me in as joe. (#4.7.8)\nRemote host said: 535 "
        )
        assert b"wrong." not in report


# ---- others


def test_by_plain_where_there_is_no_more_and_in_tls_only(sender: Sender, certificate: Path) -> None:
    server = Server(certificate, login=(b"NTLM PLAIN", [b"235 in\r\n"]))
    assert deliver(sender, server.port).startswith(K)
    assert sender.end() == 0
    lines = said(server)
    assert lines[0] == ("TLSv1.3", PLAIN) and all(how == "TLSv1.3" for how, _ in lines)


def test_by_login(sender: Sender, certificate: Path) -> None:
    answers = [b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n", b"235 in\r\n"]
    server = Server(certificate, login=(b"login", answers))
    assert deliver(sender, server.port).startswith(K)
    assert sender.end() == 0
    words = [b"AUTH LOGIN\r\n", *(base64.b64encode(each) + b"\r\n" for each in (b"joe", b"a:secret"))]
    assert [line for _, line in said(server)][:3] == words


@pytest.mark.parametrize(
    ("offered", "answers", "words"),
    [
        (b"PLAIN", [b"535 5.7.8 no\r\n"], b"it does not let me in as joe. (#4.7.8)\nRemote host said: 535 5.7.8 no\n"),
        (b"PLAIN", [b"454 later\r\n"], b"it does not let me in as joe. (#4.7.8)\nRemote host said: 454 later\n"),
        (b"PLAIN", [b"334 \r\n", b"235 in\r\n"], b"it does not prove that it knows the password of joe. (#4.7.8)\n"),
        (b"NTLM GSSAPI", [], b"it offers no way to log in that I know. (#4.7.8)\n"),
        (b"", [], b"it offers no way to log in that I know. (#4.7.8)\n"),
        (b"SCRAM-SHA-256 PLAIN", [b"235 in\r\n"], b"it does not prove that it knows the password of joe. (#4.7.8)\n"),
        (b"SCRAM-SHA-256", [b"334 !\r\n"], b"it does not prove that it knows the password of joe. (#4.7.8)\n"),
        (
            b"SCRAM-SHA-256", [b"334 " + base64.b64encode(b"r=theirs,s=c2FsdA==,i=4096") + b"\r\n"],
            b"it does not prove that it knows the password of joe. (#4.7.8)\n",
        ),
    ],
)  # fmt: skip
def test_who_is_not_let_in_waits_and_no_mail_is_said(
    sender: Sender, certificate: Path, offered: bytes, answers: list[bytes], words: bytes
) -> None:
    server = Server(certificate, login=(offered, [*answers, b"500 what\r\n"]))
    assert deliver(sender, server.port).startswith(b"ZConnected to 127.0.0.1 but " + words)
    assert sender.end() == 0
    assert not [line for _, line in said(server) if line.startswith((b"MAIL", b"DATA"))]


@pytest.fixture
def remote(home: Path, certificate: Path, program: Run) -> Callable[[Server], bytes]:
    """qmail-remote run as a program, with a message for far.example that goes to a relay."""
    (home / "control/me").write_text("client.example\n")
    (home / "control/tlstrust.pem").write_bytes(certificate.read_bytes().partition(b"-----BEGIN PRIVATE")[0])
    credentials(home, "[127.0.0.1]:joe:a:secret\n")

    def run(server: Server) -> bytes:
        (home / "control/smtproutes").write_text(f":[127.0.0.1]:{server.port}\n")
        words = ("qmail-remote", "far.example", "joe@example.org", "r@far.example")
        return program(*words, stdin=b"Subject: x\n\nhello\n", env={"QMAIL_HOME": str(home)}).stdout

    return run


def test_a_password_is_said_only_to_who_has_proved_its_name(
    home: Path, certificate: Path, remote: Callable[[Server], bytes]
) -> None:
    (home / "control/tlstrust.pem").unlink()
    untrusted = b"nobody whom this system trusts has signed its certificate. (#4.7.5)"
    for policy, offers, report in (
        ("", True, untrusted),
        ("far.example:none\n", True, untrusted),
        ("far.example:encrypt\n", True, untrusted),
        ("far.example:may\n", False, b"it does not offer TLS, which mail to it must have. (#4.7.5)"),
    ):
        (home / "control/tlspolicy").write_text(policy)
        server = Server(certificate, offers=offers, login=(b"PLAIN", [b"235 in\r\n"]))
        assert report in remote(server)
        assert not said(server)
    # A line for the relay itself may do without a name that is vouched for.
    (home / "control/tlspolicy").write_text("[127.0.0.1]:encrypt\n")
    server = Server(certificate, login=(b"PLAIN", [b"235 in\r\n"]))
    assert remote(server).startswith(b"r\0" + K)
    assert said(server)[0] == ("TLSv1.3", PLAIN)


def test_a_file_that_others_may_read_is_not_used_and_other_relays_get_no_password(
    home: Path, certificate: Path, remote: Callable[[Server], bytes]
) -> None:
    server = Server(certificate, login=(b"PLAIN", [b"235 in\r\n"]))
    (home / "control/smtpcredentials").chmod(0o644)
    assert remote(server) == b"ZOthers may read control/smtpcredentials, so nothing goes to a relay. (#4.3.5)\n\0"
    credentials(home, "[127.0.0.2]:joe:a:secret\nmx.example:joe:a:secret\n")
    remote(server)
    assert not [line for _, line in said(server) if line.startswith(b"AUTH")]


EXIM = """
begin authenticators
{name}:
  driver = plaintext
  public_name = {mechanism}
  server_prompts = {prompts}
  server_condition = ${{if and {{{{eq{{${user}}}{{joe}}}}{{eq{{${password}}}{{a:secret}}}}}}}}
  server_set_id = ${user}
  server_advertise_condition = ${{if def:tls_in_cipher}}
"""


@needs_root
@pytest.mark.parametrize(
    ("mechanism", "prompts", "user", "password"),
    [("PLAIN", ":", "auth2", "auth3"), ("LOGIN", "Username:: : Password::", "auth1", "auth2")],
)
def test_exim_lets_us_in(
    sender: Sender, certificate: Path, tmp_path: Path, mechanism: str, prompts: str, user: str, password: str
) -> None:
    lines = EXIM.format(name="one", mechanism=mechanism, prompts=prompts, user=user, password=password)
    port = free_port()
    with Exim(tmp_path / "exim", port, certificates={port: certificate}, smtp=lines) as exim:
        (sender.home / "control/smtproutes").write_text(f":[127.0.0.1]:{exim.port}\n")
        sender.order((1, sender.message(1), b"joe@example.org", b"joe@exim.example"))
        assert sender.reports(1)[1].startswith(K)
        (message,) = exim.wait_for_mail()
        assert b"with esmtpsa" in message
        exim.says(r"<= joe@example\.org .* A=one:joe ")


# ---- SCRAM with Dovecot

DOVECOT = """
protocols = pop3
base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/log
mail_location = maildir:{place}/mail
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain scram-sha-256
auth_username_chars =
listen = 127.0.0.1
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {port}
  }}
}}
service auth {{
  unix_listener {place}/auth {{
    mode = 0666
  }}
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {place}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={place}/home
}}
"""


@pytest.fixture(scope="module")
def dovecot() -> Iterator[tuple[int, Path]]:
    """The port of Dovecot's POP3 server, where two users have passwords, and its socket for Postfix."""
    place = Path(tempfile.mkdtemp(dir="/var/tmp"))  # a socket's path may have 107 bytes
    place.chmod(0o755)
    port = free_port()
    (place / "dovecot.conf").write_text(DOVECOT.format(place=place, port=port))
    (place / "users").write_text("joe:a secret\nann:a=b,c\nj,o=e:p\u00e4ss,w=rd\n")
    for name in ("home", "mail"):
        (place / name).mkdir()
        shutil.chown(place / name, "nobody", "nogroup")
    server = subprocess.Popen(["dovecot", "-F", "-c", place / "dovecot.conf"], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port) and (place / "auth").is_socket(), 30)
        yield port, place / "auth"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(place)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def login(port: int, user: bytes, password: bytes) -> tuple[bytes, bool]:
    """Log in to Dovecot: its last answer, and whether it has proved itself."""
    exchange = Exchange(b"SCRAM-SHA-256", user, password, b"rOprNGfwEbeRWgbNEkqO")
    with socket.create_connection(("127.0.0.1", port), 30) as server, server.makefile("rb") as lines:
        assert lines.readline().startswith(b"+OK")
        words = exchange.begin()
        assert words is not None
        server.sendall(b"AUTH SCRAM-SHA-256 " + base64.b64encode(words) + b"\r\n")
        while (answer := lines.readline()).startswith(b"+ "):
            server.sendall(base64.b64encode(exchange.heard(base64.b64decode(answer[2:]))) + b"\r\n")
        return answer, exchange.proved


@needs_root
def test_dovecot_lets_us_in_by_scram_and_proves_itself(dovecot: tuple[int, Path]) -> None:
    port, _ = dovecot
    answer, proved = login(port, b"joe", b"a secret")
    assert answer.startswith(b"+OK") and proved
    assert login(port, b"j,o=e", "p\u00e4ss,w=rd".encode())[1]
    answer, proved = login(port, b"joe", b"wrong")
    assert answer.startswith(b"-ERR") and not proved


@needs_root
@pytest.mark.prove
def test_postfix_with_dovecot_lets_us_in_by_scram(
    sender: Sender, certificate: Path, tmp_path: Path, dovecot: tuple[int, Path]
) -> None:
    chain = tmp_path / "chain.pem"
    shutil.copy(certificate, chain)
    settings = {
        "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": str(dovecot[1]),
        "smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes", "smtpd_tls_cert_file": str(chain),
        "smtpd_tls_key_file": str(chain), "smtpd_recipient_restrictions": "permit_sasl_authenticated,reject",
    }  # fmt: skip
    credentials(sender.home, "[127.0.0.1]:ann:a=b,c\n")
    with Postfix(tmp_path / "postfix", {(port := free_port()): settings}) as postfix:
        (sender.home / "control/smtproutes").write_text(f":[127.0.0.1]:{port}\n")
        for number in (1, 2):
            sender.order((number, sender.message(number), b"ann@example.org", b"r@postfix.example"))
            assert sender.reports(1)[number].startswith(K)
        postfix.wait_for_mail(2)
        assert "sasl_method=SCRAM-SHA-256, sasl_username=ann" in postfix.says("sasl_method=")
        credentials(sender.home, "[127.0.0.1]:ann:wrong\n")
        changed()
        sender.order((3, sender.message(3), b"ann@example.org", b"r@postfix.example"))
        report = sender.reports(1)[3]
        assert report.startswith(
            b"ZConnected to 127.0.0.1 but it does not let me in as ann. (#4.7.8)\nRemote host said: 535 "
        )


def test_a_password_needs_a_certificate_whatever_a_sender_waives(sender: Sender) -> None:
    # The relay's TLSA records, which may demand more, he can waive (qmail-remote(8)); this is what is left then.
    where = Home(os.fsencode(sender.home))
    (sender.home / "control/smtproutes").write_text(":[127.0.0.1]:25\n")
    needs = NextHops(where, {}, extended=True).own_needs(Settings(where), b"far.example").alone()
    assert (needs.level, needs.settled) == (tlsneeds.VERIFY, True)
