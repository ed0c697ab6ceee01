"""qmail-tlsd, and SMTP through it: real clients, certificates by name, changes while sessions are open, bad clients."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root, wait_until
from qmail.formats import certificate as certificates
from qmail.formats import tlsfacts
from qmail.host import passing
from qmail.stores import tlsdoor
from securing import Tls, certificate, make_old, names_of, trusting_nobody
from serving import Server, Start

ME = "mx.example.org"
PATIENCE = 20.0
MESSAGE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\nDATA\r\nhello\r\n.\r\n"
DRIVERS = ("warm", "exec")


@pytest.fixture
def place(home: Path) -> Path:
    """A home that takes mail for example.org, and has a certificate."""
    (home / "control/me").write_text(ME + "\n")
    (home / "control/rcpthosts").write_text("example.org\n")
    certificate(home / "control/servercert.pem", ME)
    return home


@pytest.fixture
def tls(place: Path) -> Iterator[Tls]:
    with Tls(place) as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with Start(tmp_path) as starting:
        yield starting


def serve(start: Start, home: Path, *before: str, driver: str = "warm", **env: str) -> Server:
    """tcpserver before our qmail-smtpd, as qmaild where that is possible."""
    words = ["-v"]
    if os.geteuid() == 0:
        qmaild = pwd.getpwnam("qmaild")
        words += ["-u", str(qmaild.pw_uid), "-g", str(qmaild.pw_gid)]
    program = [*before, str(home / "bin/qmail-smtpd")]
    if driver == "exec":
        program = ["env", "-u", "NOTHING", *program]
    return start(*words, program=program, env={"QMAIL_HOME": str(home), **env})


def mail(home: Path) -> bytes:
    """All messages in the queue."""
    return b"".join(path.read_bytes() for path in (home / "queue/mess").glob("*/*"))


def dialogue(server: Server, *said: bytes) -> bytes:
    """Everything the server answers to these writes, each after a reply."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        text = client.recv(65536)
        for words in said:
            client.sendall(words)
            text += client.recv(65536)
        client.shutdown(socket.SHUT_WR)
        while piece := client.recv(65536):
            text += piece
    return text


def connect(server: Server, name: str = ME, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """TLS from the first byte."""
    raw = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    return (context or trusting_nobody()).wrap_socket(raw, server_hostname=name)


# ---- real clients


@pytest.mark.parametrize("driver", DRIVERS)
def test_swaks_sends_after_starttls_and_the_received_line_says_so(
    place: Path, queued: object, tls: Tls, start: Start, driver: str
) -> None:
    server = serve(start, place, driver=driver)
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(server.port), "--to", "c@example.org", "--tls",
         "--tls-sni", ME], capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(rb"with ESMTPS \(TLSv1\.3 TLS_[A-Z0-9_]+\);", mail(place))
    after = done.stdout.partition(b"TLS started")[2]
    assert b"STARTTLS" in done.stdout.partition(b"TLS started")[0] and b"STARTTLS" not in after
    assert f" TLSv1.3 TLS_AES_256_GCM_SHA384 {ME}\n" in tls.log


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_plain_session_is_as_it_was(place: Path, queued: object, tls: Tls, start: Start, driver: str) -> None:
    server = serve(start, place, driver=driver)
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        client.sendmail("a@b.example", ["c@example.org"], "hello\r\n")
    assert b"with SMTP;" in mail(place)


@pytest.mark.parametrize(("before", "driver", "variable"), [
    ((), "warm", {"SMTPS": "1"}), ((), "exec", {"SMTPS": "1"}), ((str(BIN / "tlswrap"),), "warm", {}),
])  # fmt: skip
def test_curl_sends_where_tls_comes_first(
    place: Path, queued: object, tls: Tls, start: Start, before: tuple[str, ...], driver: str, variable: dict[str, str]
) -> None:
    server = serve(start, place, *before, driver=driver, **variable)
    text = place.parent / "letter"
    text.write_text("Subject: by curl\n\n" + "x" * 70 + "\n" + ("y" * 1000 + "\n") * 300)
    done = subprocess.run(
        ["curl", "-sSk", f"smtps://127.0.0.1:{server.port}/client", "--mail-from", "a@b.example", "--mail-rcpt",
         "c@example.org", "-T", text, "--crlf"], capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"with ESMTPS (TLSv1.3 " in mail(place) and mail(place).endswith(b"y\n" * 1)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_speaks_both_versions(place: Path, tls: Tls, start: Start, version: str) -> None:
    server = serve(start, place)
    done = s_client(server, version, "-starttls", "smtp", said=b"QUIT\n")
    assert b"\n221 mx.example.org\r\n" in done and b"CN = mx.example.org" in done


def test_openssl_with_an_older_version_is_refused(place: Path, tls: Tls, start: Start) -> None:
    server = serve(start, place, SMTPS="1")
    s_client(server, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", said=b"QUIT\n")
    tls.says("unsupported protocol")


def s_client(server: Server, *options: str, said: bytes) -> bytes:
    """What openssl shows of a connection, and what it is told there."""
    process = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-crlf", "-ign_eof", *options],
        input=said, capture_output=True, timeout=60,
    )  # fmt: skip
    return process.stdout + process.stderr


@pytest.mark.parametrize("scheme", ["pop3s", "pop3"])
def test_curl_reads_mail_by_pop3_under_tls(place: Path, tls: Tls, start: Start, scheme: str) -> None:
    maildir = place.parent / "Maildir"
    subprocess.run([BIN / "maildirmake", maildir], check=True)
    (maildir / "new/1").write_text("Subject: one\n\nhello\n")
    os.utime(maildir / "new/1", (1, 1))  # what has just come is not shown yet
    # Curl prefers APOP: what the checker sees is no password.
    checker = place.parent / "checker"
    become = ""
    if os.geteuid() == 0:
        for path in (maildir, *maildir.rglob("*")):
            shutil.chown(path, "nobody")
        become = f"{BIN}/setuidgid nobody"
    checker.write_text(f'#!/bin/sh\ntr "\\0" " " <&3 | grep -q "^joe " && exec {become} "$@"\n')
    checker.chmod(0o755)
    before = [str(BIN / "tlswrap")] if scheme == "pop3s" else []
    program = [*before, str(BIN / "qmail-popup"), ME, str(checker), str(BIN / "qmail-pop3d"), str(maildir)]
    server = start("-v", program=program, env={"QMAIL_HOME": str(place)})
    done = subprocess.run(
        ["curl", "-sSk", "--ssl-reqd", f"{scheme}://127.0.0.1:{server.port}/1", "-u", "joe:secret"],
        capture_output=True,
        timeout=60,
    )
    assert done.stdout.startswith(b"Subject: one\r\n\r\nhello\r\n"), done.stderr


def test_fault_039_commands_behind_stls_are_refused(place: Path, tls: Tls, start: Start) -> None:
    program = [str(BIN / "qmail-popup"), ME, "false"]
    server = start("-v", program=program, env={"QMAIL_HOME": str(place)})
    text = dialogue(server, b"CAPA\r\n", b"STLS\r\nUSER joe\r\n")
    assert b"\r\nSTLS\r\n.\r\n" in text and text.endswith(b"-ERR nothing may follow STLS before the handshake\r\n")
    tls.process.terminate()
    tls.process.wait(PATIENCE)
    assert b"-ERR authorization first\r\n" in dialogue(server, b"CAPA\r\n")


# ---- certificates


def test_a_client_gets_the_certificate_of_the_name_it_asks_for(place: Path, start: Start) -> None:
    certificate(place / "control/tls/other.example.pem", "other.example")
    with Tls(place):
        server = serve(start, place, SMTPS="1")
        for asked, shown in (("other.example", b"other.example"), ("OTHER.example", b"other.example"),
                             (ME, ME.encode()), ("third.example", ME.encode())):  # fmt: skip
            with connect(server, asked) as client:
                assert client.recv(100).startswith(b"220 ")
                assert shown in names_of(client), asked


def test_new_certificates_are_read_while_sessions_go_on(place: Path, queued: object, tls: Tls, start: Start) -> None:
    server = serve(start, place, SMTPS="1")
    (first,) = tls.children()
    with smtplib.SMTP_SSL("127.0.0.1", server.port, context=trusting_nobody()) as old:
        certificate(place / "control/servercert.pem", "renewed.example")
        tls.read_again()
        with connect(server) as client:
            assert b"renewed.example" in names_of(client)
        old.sendmail("a@b.example", ["c@example.org"], "hello\r\n")
        (place / "control/servercert.pem").write_text("nonsense\n")
        tls.says("the old ones stay")
        with connect(server) as client:
            assert b"renewed.example" in names_of(client)
        certificate(place / "control/servercert.pem", "again.example")
        tls.says("certificates read", 2)  # without HUP
        assert old.noop()[0] == 250 and first in tls.children()
    wait_until(lambda: first not in tls.children())
    assert b"with ESMTPS" in mail(place)


def test_sessions_outlive_qmail_tlsd_and_then_none_is_offered(place: Path, tls: Tls, start: Start) -> None:
    server = serve(start, place)
    with smtplib.SMTP("127.0.0.1", server.port) as old:
        old.starttls(context=trusting_nobody())
        assert old.ehlo()[0] == 250
        tls.process.terminate()
        assert tls.process.wait(PATIENCE) == 0
        assert old.noop()[0] == 250
        assert b"STARTTLS" not in dialogue(server, b"EHLO x\r\n")


def test_a_process_that_dies_is_followed_by_another(place: Path, tls: Tls, start: Start) -> None:
    server = serve(start, place, SMTPS="1")
    (first,) = tls.children()
    os.kill(first, signal.SIGKILL)
    tls.says("has died")
    wait_until(lambda: len(tls.children()) == 1 and tls.children() != [first])
    with connect(server) as client:
        assert client.recv(100).startswith(b"220 ")


@pytest.mark.parametrize(("driver", "left"), [("warm", True), ("exec", True), ("warm", False)])
def test_without_qmail_tlsd_a_client_hears_that_there_is_no_tls(
    place: Path, start: Start, driver: str, left: bool
) -> None:
    server = serve(start, place, driver=driver)
    if left:
        with Tls(place) as running:
            (child,) = running.children()
            running.process.kill()  # its socket stays
            os.kill(child, signal.SIGKILL)
            wait_until(lambda: not Path(f"/proc/{child}/exe").exists())
    text = dialogue(server, b"EHLO x\r\n", b"STARTTLS\r\n", b"NOOP\r\n")
    assert (b"STARTTLS" in text) == left
    assert (b"\r\n454 " in text) == left and text.endswith(b"250 ok\r\n")


def test_where_tls_comes_first_nothing_is_said_without_qmail_tlsd(place: Path, start: Start) -> None:
    for driver in DRIVERS:
        server = serve(start, place, driver=driver, SMTPS="1")
        assert server.talk() == b""
        server.until(r"end \d+ status 256")


def test_fault_042_a_certificate_that_is_not_good_is_said(place: Path, program: Run) -> None:
    path = place / "control/servercert.pem"
    certificate(path, "elsewhere.example")
    make_old(path)
    path.chmod(0o644)
    expired = b"servercert.pem has expired, or does not count yet"
    wrong = b"servercert.pem is not for mx.example.org, but for elsewhere.example"
    with Tls(place) as running:
        assert expired.decode() in running.log and wrong.decode() in running.log
    doctor = program("qmail-doctor", env={"QMAIL_HOME": str(place)}).stdout
    assert expired in doctor and wrong in doctor and b"servercert.pem is open to others" in doctor
    path.unlink()
    certificate(path, ME, bits=1024)
    weak = program("qmail-tlsd", env={"QMAIL_HOME": str(place)})
    assert weak.returncode == 111 and b"servercert.pem: ee key too small" in weak.stderr
    path.write_text("nonsense")
    assert program("qmail-tlsd", env={"QMAIL_HOME": str(place)}).returncode == 111
    assert b"holds no certificate" in program("qmail-doctor", env={"QMAIL_HOME": str(place)}).stdout
    path.unlink()
    none = program("qmail-tlsd", env={"QMAIL_HOME": str(place)})
    assert none.returncode == 111 and b"no certificate" in none.stderr


def test_what_a_certificate_says_is_what_openssl_reads(tmp_path: Path) -> None:
    for days in (1, 20000, 100_000):
        certificate(tmp_path / "one.pem", "*.example.org", days=days)
        found = certificates.first((tmp_path / "one.pem").read_bytes())
        told = subprocess.run(
            ["openssl", "x509", "-in", tmp_path / "one.pem", "-noout", "-enddate", "-dateopt", "iso_8601"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        key = ["openssl", "x509", "-in", tmp_path / "one.pem", "-noout", "-pubkey"]
        (tmp_path / "key").write_bytes(subprocess.run(key, capture_output=True, check=True).stdout)
        assert found.key == certificates.key((tmp_path / "key").read_bytes())
        assert time.strftime("notAfter=%Y-%m-%d %H:%M:%SZ\n", time.gmtime(found.ends)) == told
        assert found.names == [b"*.example.org"] and found.covers(b"mx.Example.org")
        assert not found.covers(b"example.org") and not found.covers(b"a.mx.example.org")


# ---- bad clients


@pytest.mark.parametrize("driver", DRIVERS)
def test_fault_038_starttls_is_once_and_without_arguments(place: Path, tls: Tls, start: Start, driver: str) -> None:
    server = serve(start, place, driver=driver)
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        client.ehlo("one.example")
        assert client.docmd("STARTTLS", "now")[0] == 501
        assert client.docmd("MAIL", "FROM:<a@b.example>")[0] == 250
        assert client.starttls(context=trusting_nobody())[0] == 220
        assert client.docmd("RCPT", "TO:<c@example.org>")[0] == 503, "MAIL was before TLS, and is forgotten"
        assert client.docmd("STARTTLS")[0] == 503
        assert "starttls" not in (client.ehlo(), client.esmtp_features)[1]


@pytest.mark.parametrize("driver", DRIVERS)
def test_fault_039_commands_before_the_handshake_are_refused(
    place: Path, queued: object, tls: Tls, start: Start, driver: str
) -> None:
    server = serve(start, place, driver=driver)
    text = dialogue(server, b"EHLO x\r\n", b"STARTTLS\r\n" + MESSAGE)
    assert text.endswith(b"\r\n503 nothing may follow STARTTLS before the handshake (#5.5.1)\r\n")
    # In a segment of its own it goes where the handshake is expected.
    text = dialogue(server, b"EHLO x\r\n", b"STARTTLS\r\n", MESSAGE)
    assert text.partition(b"220 ready")[2].count(b"\r\n") == 1
    tls.says("wrong version number")
    assert mail(place) == b""


def test_fault_043_a_client_that_is_gone_after_the_handshake_leaves_nothing(
    place: Path, queued: object, tls: Tls, start: Start
) -> None:
    server = serve(start, place, SMTPS="1")
    for _ in range(3):
        os.close(connect(server).detach())
    server.until(r"end \d+ status 256", 3)
    with connect(server) as client:
        assert client.recv(100).startswith(b"220 ")


def test_fault_044_a_handshake_that_stalls_is_given_up(place: Path, tls: Tls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for said in (b"", b"\x16\x03\x01"):
            client = socket.create_connection(listener.getsockname())
            taken, _ = listener.accept()
            door = socket.socket(socket.AF_UNIX)
            with client, taken, door:
                door.settimeout(PATIENCE)
                door.connect(str(place / "qt/socket"))
                tlsdoor.hand_over(door.fileno(), taken.fileno(), seconds=1)
                taken.close()
                client.sendall(said)
                assert door.recv(100) == b"no the handshake takes too long\n"
                assert door.recv(100) == b"" and client.recv(100) == b""
    tls.says("the handshake takes too long", 2)


def test_fault_048_a_client_that_renegotiates_is_refused(place: Path, tls: Tls, start: Start) -> None:
    server = serve(start, place, SMTPS="1")
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin and process.stdout
    while not process.stdout.readline().startswith(b"220 "):
        pass
    process.stdin.write(b"R\n")
    process.stdin.flush()
    rest = process.stdout.read()
    assert b"RENEGOTIATING" in rest and b"no renegotiation" in rest
    process.stdin.close()
    process.wait(PATIENCE)
    server.until(r"end \d+ status")


def test_fault_048_an_end_without_close_notify_ends_no_message(
    place: Path, queued: object, tls: Tls, start: Start
) -> None:
    server = serve(start, place, SMTPS="1")
    client = connect(server)
    client.recv(1000)
    client.sendall(MESSAGE.removesuffix(b".\r\n"))
    os.close(client.detach())  # no close_notify
    tls.says("the client closed without close_notify")
    server.until(r"end \d+ status 256")
    assert mail(place) == b""


def test_plain_text_where_tls_comes_first_is_said(place: Path, tls: Tls, start: Start) -> None:
    server = serve(start, place, SMTPS="1")
    server.talk(send=b"EHLO x\r\n")
    tls.says("wrong version number")
    server.talk(send=b"GET / HTTP/1.0\r\n\r\n")
    tls.says("http request")
    server.until(r"end \d+ status 256", 2)


def memory(pid: int) -> int:
    """Bytes that a process has for itself."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"RssAnon:\s+(\d+)", text)[0]) * 1024


def test_qmail_tlsd_gives_up_on_programs_that_pass_no_connection(place: Path, tls: Tls) -> None:
    reader, writer = os.pipe()
    for line, descriptors in (
        (b"server 10\n", []), (b"server 10\n", [reader]), (b"server x\n", []), (b"x" * 600, []),
        (b"server 10\n", [reader, writer]),
    ):  # fmt: skip
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(str(place / "qt/socket"))
            link = passing.link(door.fileno())
            link.send(line, descriptors)
            link.detach()
            door.settimeout(PATIENCE)
            assert door.recv(100) == b""
    os.close(reader)
    os.close(writer)


@needs_root
def test_only_root_and_qmaild_may_ask(place: Path, tls: Tls) -> None:
    nobody = pwd.getpwnam("nobody")
    asked = subprocess.run(
        ["/usr/bin/python3", "-c", "import socket, sys; s = socket.socket(1); s.connect(sys.argv[1]); s.recv(9)",
         place / "qt/socket"], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], timeout=60,
    )  # fmt: skip
    assert asked.returncode == 0
    tls.says(f"user {nobody.pw_uid} may not ask")


@needs_root
def test_the_key_is_readable_to_root_alone_and_who_uses_it_is_confined(place: Path, tls: Tls) -> None:
    assert (place / "control/servercert.pem").stat().st_mode & 0o077 == 0
    (worker,) = tls.children()
    path = Path(f"/proc/{worker}/status")
    wait_until(lambda: "NoNewPrivs:\t1" in path.read_text())
    status = path.read_text()
    assert re.search(rf"Uid:(\s+{pwd.getpwnam('qmailt').pw_uid}){{4}}\n", status)
    assert "CapEff:\t0000000000000000" in status


@pytest.mark.parametrize("text", [b"", b"yes\n", b"yes a b c d", b"no\n", b"yes a b c d e\n", b"yes a  c d\n"])
def test_lines_that_are_none(text: bytes) -> None:
    with pytest.raises(tlsfacts.Broken):
        tlsfacts.answer(text)


def test_a_line_says_what_was_put_in() -> None:
    facts = tlsfacts.Facts(b"TLSv1.3", b"X", b"256", tlsfacts.server_name("A.example"))
    again = tlsfacts.answer(facts.line)
    assert again is not None and again.line == b"yes TLSv1.3 X 256 a.example\n"
    assert tlsfacts.answer(tlsfacts.refusal("a\nb")) is None and b"a?b" in tlsfacts.refusal("a\nb")
    assert [tlsfacts.server_name(name) for name in ("", "a b", "a\n", "\xe9")] == [b"-"] * 4
