"""AUTH: who has logged in may send anywhere, as itself; warm and by exec, with real clients."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, wait_until
from programs.test_qmail_tlsd import ME, PATIENCE, dialogue, mail, serve
from securing import Tls, certificate, trusting_nobody
from serving import Start

DRIVERS = ("warm", "exec")
JOE = base64.b64encode(b"\0joe\0a secret")


@pytest.fixture
def place(home: Path) -> Iterator[Path]:
    """A home with a certificate, where joe has a password, with qmail-tlsd and qmail-authd."""
    (home / "control/me").write_text(ME + "\n")
    (home / "control/rcpthosts").write_text("example.org\n")
    certificate(home / "control/servercert.pem", ME)
    (home / "qp").mkdir(exist_ok=True)
    env = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home)}
    for name in ("joe", "ann@example.org"):
        command = [BIN / "qmail-password", "-a", "nobody", name]
        subprocess.run(command, input=b"a secret\n", env=env, check=True, capture_output=True)
    if os.geteuid() == 0:
        (home / "qp").chmod(0o755)
    authd = subprocess.Popen([BIN / "qmail-authd"], env=env, stdin=subprocess.DEVNULL)
    with Tls(home):
        wait_until(lambda: (home / "qp/login").is_socket() or authd.poll() is not None)
        yield home
        authd.kill()
        authd.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with Start(tmp_path) as starting:
        yield starting


def client(port: int) -> smtplib.SMTP:
    talk = smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE)
    talk.starttls(context=trusting_nobody())
    return talk


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_logs_in_and_sends_elsewhere(
    place: Path, queued: object, start: Start, driver: str, mechanism: str
) -> None:
    server = serve(start, place, driver=driver, SMTPAUTH="")
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(server.port), "--from", "joe@example.org", "--tls",
         "--to", "far@elsewhere.example", "--auth", mechanism, "--auth-user", "joe", "--auth-password", "a secret"],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert b"250-AUTH SCRAM-SHA-256 PLAIN LOGIN" in done.stdout
    assert b"250-AUTH" not in done.stdout.partition(b"STARTTLS")[0], "a password is never asked for in the clear"
    assert re.search(rb"with ESMTPSA \(TLSv1\.3 ", mail(place))


@pytest.mark.parametrize("driver", DRIVERS)
def test_fault_049_login_is_refused_where_it_is_not_in_order(
    place: Path, queued: object, start: Start, driver: str
) -> None:
    server = serve(start, place, driver=driver, SMTPAUTH="")
    assert b"\r\n538 " in dialogue(server, b"EHLO x\r\n", b"AUTH PLAIN " + JOE + b"\r\n")
    assert b"\r\n538 " in dialogue(server, b"EHLO x\r\n", b"AUTH\r\n")
    with client(server.port) as talk:
        talk.ehlo()
        talk.docmd("MAIL", "FROM:<joe@example.org>")
        assert talk.docmd("AUTH", "PLAIN " + JOE.decode())[0] == 503
        talk.rset()
        assert talk.docmd("AUTH", "CRAM-MD5")[0] == 504
        assert talk.docmd("AUTH", "PLAIN " + JOE.decode())[0] == 235
        assert talk.docmd("AUTH", "PLAIN " + JOE.decode())[0] == 503
    other = serve(start, place, driver=driver)
    with client(other.port) as talk:
        talk.ehlo()
        assert not talk.has_extn("auth")
        assert talk.docmd("AUTH", "PLAIN " + JOE.decode())[0] == 502


@pytest.mark.parametrize("driver", DRIVERS)
def test_wrong_words_are_refused_and_three_of_them_are_the_end(place: Path, start: Start, driver: str) -> None:
    server = serve(start, place, driver=driver, SMTPAUTH="")
    talk = client(server.port)
    with contextlib.closing(talk):
        talk.ehlo()
        assert talk.docmd("AUTH", "LOGIN")[0] == 334
        assert talk.docmd("*")[0] == 501
        assert talk.docmd("AUTH", "LOGIN")[0] == 334
        assert talk.docmd("not base64!")[0] == 501
        assert talk.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0joe\0wrong").decode())[0] == 535
        assert talk.docmd("NOOP")[0] == 250
        assert talk.docmd("AUTH", "PLAIN =")[0] == 421
    with client(server.port) as talk:
        talk.login("joe", "a secret")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_submission_server_takes_mail_only_from_who_has_logged_in_and_as_itself(
    place: Path, queued: object, start: Start, driver: str
) -> None:
    (place / "control/senders").write_text("joe:sales@example.org\njoe:joe@example.org\n")
    server = serve(start, place, driver=driver, SMTPAUTH="!")
    with client(server.port) as talk:
        talk.ehlo()
        assert talk.docmd("MAIL", "FROM:<joe@example.org>")[0] == 530
        talk.login("joe", "a secret")
        assert talk.docmd("MAIL", "FROM:<ann@example.org>")[0] == 553
        assert talk.docmd("MAIL", "FROM:<sales@example.org>")[0] == 250
        talk.rset()
        talk.sendmail("joe@example.org", ["far@elsewhere.example"], "Subject: x\r\n\r\nhello\r\n")
    with client(server.port) as talk:
        talk.login("ann@example.org", "a secret")
        assert talk.docmd("MAIL", "FROM:<joe@example.org>")[0] == 553
        assert talk.docmd("MAIL", "FROM:<ann@example.org>")[0] == 250
    assert b"\nhello\n" in mail(place)


@pytest.mark.parametrize("driver", DRIVERS)
def test_without_qmail_authd_nobody_gets_in_and_everybody_may_try_again(place: Path, start: Start, driver: str) -> None:
    server = serve(start, place, driver=driver, SMTPAUTH="")
    (place / "qp/login").unlink()
    with client(server.port) as talk:
        talk.ehlo()
        assert talk.docmd("AUTH", "PLAIN " + JOE.decode())[0] == 454
        assert talk.docmd("NOOP")[0] == 250


def test_curl_logs_in_where_tls_comes_first(place: Path, queued: object, start: Start, tmp_path: Path) -> None:
    server = serve(start, place, SMTPAUTH="!", SMTPS="1")
    (tmp_path / "mail").write_bytes(b"Subject: by curl\r\n\r\nhello\r\n")
    done = subprocess.run(
        ["curl", "-sS", "-k", f"smtps://127.0.0.1:{server.port}", "--user", "joe:a secret", "--mail-from",
         "joe@example.org", "--mail-rcpt", "far@elsewhere.example", "-T", tmp_path / "mail"],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"\nSubject: by curl\n" in mail(place)


def test_a_client_that_leaves_in_the_middle_costs_nothing(place: Path, start: Start) -> None:
    server = serve(start, place, SMTPAUTH="")
    for _ in range(5):
        talk = client(server.port)
        talk.ehlo()
        assert talk.docmd("AUTH", "LOGIN")[0] == 334
        talk.close()
    with client(server.port) as talk:
        talk.login("joe", "a secret")
