"""qmail-tlsd when sessions are resumed, its keeper dies, certificates break, and everybody comes at once."""

from __future__ import annotations

import re
import select
import signal
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import TOP, wait_until
from programs.test_qmail_tlsd import ME, PATIENCE, connect, dialogue, memory, serve
from securing import Authority, Tls, certificate, names_of, trusting_nobody
from serving import Server, Start


@pytest.fixture
def place(home: Path) -> Path:
    """A home that takes mail for example.org, and has a certificate."""
    (home / "control/me").write_text(ME + "\n")
    (home / "control/rcpthosts").write_text("example.org\n")
    certificate(home / "control/servercert.pem", ME)
    return home


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with Start(tmp_path) as starting:
        yield starting


NOOP = b"NOOP\r\n"


def sessions(server: Server, place: Path, version: str) -> list[bytes]:
    """How openssl calls two sessions in a row, the second of which would go on with the first."""
    kept = place.parent / "session"
    kept.unlink(missing_ok=True)
    found = []
    for option in ("-sess_out", "-sess_in"):
        if option == "-sess_in" and not kept.exists():
            break
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", version, "-crlf", "-ign_eof", option, kept],
            input=b"QUIT\n", capture_output=True, timeout=60,
        )  # fmt: skip
        assert b"\n221 " in done.stdout
        found += re.findall(rb"^(New|Reused), ", done.stdout, re.M)[:1]
        found += [b"ticket"] if b"TLS session ticket:" in done.stdout and not found[1:] else []
    return found


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_sessions_are_resumed_unless_tickets_are_switched_off_or_the_keys_have_changed(
    place: Path, start: Start, version: str
) -> None:
    server = serve(start, place, SMTPS="1")
    with Tls(place) as tls:
        assert sessions(server, place, version) == [b"New", b"ticket", b"Reused"]
        (place / "control/tlstickets").write_text("0\n")
        tls.read_again()
        # TLS 1.2 has another way, by what the server remembers.
        assert sessions(server, place, version) == ([b"New"] if version == "-tls1_3" else [b"New", b"Reused"])
        (place / "control/tlstickets").unlink()
        tls.read_again()
        assert sessions(server, place, version) == [b"New", b"ticket", b"Reused"]
        context = trusting_nobody()
        with connect(server, context=context) as first:
            assert first.recv(100).startswith(b"220 ")
            session = first.session
        tls.read_again()
        raw = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        with context.wrap_socket(raw, server_hostname=ME, session=session) as again:
            assert again.recv(100).startswith(b"220 ") and not again.session_reused


def test_keys_may_be_changed_in_the_middle_of_a_session(place: Path, start: Start) -> None:
    """KeyUpdate of TLS 1.3, which took the place of renegotiation; also behind STARTTLS."""
    server = serve(start, place)
    with Tls(place):
        process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-starttls", "smtp", "-tls1_3"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdin and process.stdout
        # Each is alone in what openssl reads, and answered before the next one.
        for line, answer in ((NOOP, b"250 ok"), (b"K\n", b"KEYUPDATE"), (NOOP, b"250 ok"), (b"k\n", b"KEYUPDATE"),
                             (NOOP, b"250 ok")):  # fmt: skip
            process.stdin.write(line)
            process.stdin.flush()
            while (heard := process.stdout.readline()).strip() != answer:
                assert heard, "it has ended"
        process.stdin.close()
        process.stdout.read()
        process.wait(PATIENCE)


def test_when_the_keeper_is_killed_sessions_go_on_and_another_one_takes_its_place(place: Path, start: Start) -> None:
    server = serve(start, place)
    with Tls(place) as first, smtplib.SMTP("127.0.0.1", server.port) as old:
        old.starttls(context=trusting_nobody())
        (worker,) = first.children()
        first.process.kill()
        first.process.wait(PATIENCE)
        assert old.ehlo()[0] == 250
        # Its socket stays, and nobody is behind it: clients hear that TLS is to be had, and not now.
        wait_until(lambda: b"\r\n454 " in dialogue(server, b"EHLO x\r\n", b"STARTTLS\r\n"))
        with Tls(place), smtplib.SMTP("127.0.0.1", server.port) as new:
            assert new.starttls(context=trusting_nobody())[0] == 220
            assert new.ehlo()[0] == old.noop()[0] == 250
        old.quit()
        wait_until(lambda: not Path(f"/proc/{worker}/exe").exists())


def test_a_certificate_that_is_broken_when_it_is_read_again_changes_nothing(
    place: Path, start: Start, tmp_path: Path
) -> None:
    server = serve(start, place, SMTPS="1")
    path = place / "control/servercert.pem"
    whole, other = path.read_bytes(), tmp_path / "other.pem"
    certificate(other, ME)
    begin = b"-----BEGIN PRIVATE KEY-----"
    broken = {
        "key values mismatch": whole.partition(begin)[0] + begin + other.read_bytes().partition(begin)[2],
        "no certificate with its key": whole.partition(begin)[0],
        "no certificate: neither": None,
    }
    with Tls(place) as tls:
        (worker,) = tls.children()
        for said, (words, text) in enumerate(broken.items(), 1):
            path.unlink() if text is None else path.write_bytes(text)
            tls.process.send_signal(signal.SIGHUP)
            tls.says("; the old ones stay", said)
            assert re.search(f"({words}).*; the old ones stay\n$", tls.log), tls.log
            with connect(server) as client:
                assert client.recv(100).startswith(b"220 ") and ME.encode() in names_of(client)
        assert tls.children() == [worker]
        path.write_bytes(whole)
        tls.read_again()


def test_the_script_that_the_page_gives_to_an_acme_client_renews_the_certificate(
    place: Path, start: Start, tmp_path: Path
) -> None:
    page = (TOP / "docs/certificates.md").read_text()
    block = re.search(r"\n\n((?:    .*\n)*    umask 077\n(?:    .*\n)*)", page)
    assert block
    script = tmp_path / "qmail-certificate"
    script.write_text(re.sub("^    ", "", block[1], flags=re.M).replace("/var/qmail", str(place)))
    script.chmod(0o755)
    lineage = tmp_path / "live"
    lineage.mkdir()
    certificate(tmp_path / "new.pem", "renewed.example")
    whole, begin, key = (tmp_path / "new.pem").read_text().partition("-----BEGIN PRIVATE KEY-----")
    (lineage / "fullchain.pem").write_text(whole)
    (lineage / "privkey.pem").write_text(begin + key)
    server = serve(start, place, SMTPS="1")
    with Tls(place) as tls:
        subprocess.run([script], env={"PATH": "/usr/bin:/bin", "RENEWED_LINEAGE": str(lineage)}, check=True)
        tls.says("certificates read")
        with connect(server) as client:
            assert b"renewed.example" in names_of(client)
    assert (place / "control/servercert.pem").stat().st_mode & 0o777 == 0o600


class Client:
    """A TLS session that goes on whenever it can, in a loop of many."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self.raw = socket.socket()
        self.raw.setblocking(False)
        self.raw.connect_ex(("127.0.0.1", port))
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.coming, self.going, server_hostname=ME)
        self.greeting = b""

    def go_on(self) -> bool:
        """Is it greeted?"""
        try:
            self.coming.write(self.raw.recv(65536))
        except BlockingIOError:
            pass
        try:
            self.tls.do_handshake()
            self.greeting += self.tls.read(1000)
        except ssl.SSLWantReadError:
            pass
        if self.going.pending:
            self.raw.sendall(self.going.read())
        return self.greeting.startswith(b"220 ")


@pytest.mark.prove
@pytest.mark.timeout(100)
def test_a_thousand_clients_that_shake_hands_at_once_are_all_greeted(place: Path, start: Start) -> None:
    server = start(
        "-v", "-c", "1100", "-b", "1100", program=[str(place / "bin/qmail-smtpd")],
        env={"QMAIL_HOME": str(place), "SMTPS": "1"},
    )  # fmt: skip
    context, poll = trusting_nobody(), select.epoll()
    with Tls(place) as tls:
        (worker,) = tls.children()
        before = memory(worker)
        clients = {client.raw.fileno(): client for client in (Client(context, server.port) for _ in range(1000))}
        for descriptor in clients:
            poll.register(descriptor, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        waiting, end = set(clients), time.monotonic() + 60
        while waiting:
            assert time.monotonic() < end, f"{len(waiting)} are not greeted"
            for descriptor, _ in poll.poll(1):
                if clients[descriptor].go_on():
                    waiting.discard(descriptor)
        assert tls.log.count(" TLSv1.3 ") == 1000
        assert memory(worker) - before < 1000 * 100_000
        for client in clients.values():
            client.raw.close()


def test_an_authority_is_one(tmp_path: Path) -> None:
    """What tests of certificates rest on: openssl takes a good one, and none of the others."""
    authority = Authority(tmp_path / "authority")
    good = authority.certify(tmp_path / "good.pem", ME)
    old = authority.certify(tmp_path / "old.pem", ME, years=("2020", "2021"))
    certificate(tmp_path / "self.pem", ME)
    for path, name, taken in ((good, ME, True), (good, "other.example", False), (old, ME, False),
                              (tmp_path / "self.pem", ME, False)):  # fmt: skip
        command = ["openssl", "verify", "-CAfile", authority.trust, "-verify_hostname", name, path]
        assert (subprocess.run(command, capture_output=True).returncode == 0) == taken, (path, name)
