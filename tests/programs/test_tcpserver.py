"""tcpserver accepts, asks the rules, hands over and logs."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN
from serving import PATIENCE, Start, compile_rules


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server."""
    with Start(tmp_path) as start:
        yield start


def masked(log: str) -> list[str]:
    """The log lines with ports and pids as N."""
    return [re.sub(r":\d{4,}\b", ":N", re.sub(r"\b(pid|ok|deny|end) \d+", r"\1 N", each)) for each in log.splitlines()]


def test_each_connection_gets_the_program_with_its_variables(start: Start) -> None:
    server = start(program=["sh", "-c", "echo $PROTO $TCPLOCALHOST $TCPREMOTEIP; cat"])
    assert server.talk(source="127.0.0.9", send=b"and back") == b"TCP 0 127.0.0.9\nand back"


@pytest.mark.parametrize("warm", [False, True])
def test_the_log_tells_begin_verdict_end_and_count(start: Start, warm: bool) -> None:
    server = start("-v", program=["echo", "hi"], rules="127.0.0.2:deny\n:allow", warm=warm)
    assert server.talk()
    server.until("status: 0/", 2)
    assert server.talk(source="127.0.0.2") == b""
    log = server.until("status: 0/", 3)
    assert masked(log) == [
        "tcpserver: status: 0/40",
        "tcpserver: status: 1/40",
        "tcpserver: pid N from 127.0.0.1",
        "tcpserver: ok N 0:127.0.0.1:N :127.0.0.1::N",
        "tcpserver: end N status 0",
        "tcpserver: status: 0/40",
        "tcpserver: status: 1/40",
        "tcpserver: pid N from 127.0.0.2",
        "tcpserver: deny N 0:127.0.0.1:N :127.0.0.2::N",
        "tcpserver: end N status 25600",
        "tcpserver: status: 0/40",
    ]


def test_a_resident_serves_many_connections_under_numbers_of_their_own(start: Start) -> None:
    server = start("-v", rules=':allow,WORD="word"', warm=True)
    for _ in range(50):
        assert server.talk() == b"warm 127.0.0.1 word\n"
    log = server.until("end", 50)
    numbers = re.findall(r"end (\d+) status 0", log)
    assert len(set(numbers)) == 50
    assert min(map(int, numbers)) > 4194304


def test_what_the_resident_does_not_take_is_forked_and_execd(start: Start) -> None:
    server = start("-v", rules=':allow,QMAILQUEUE="x"', warm=True, program=["sh", "-c", "echo $QMAILQUEUE $$"])
    answer = server.talk().split()
    assert answer[0] == b"x"
    assert f"end {int(answer[1])} status 0" in server.until("end")


def test_a_session_that_dies_with_its_worker_is_logged_with_the_status(start: Start) -> None:
    server = start("-v", rules=':allow,WORD="crash"', warm=True)
    server.talk()
    server.until("end \\d+ status 1792")


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    "bad", [None, b"", b"short", b"\xff" * 4000, "directory"], ids=["missing", "empty", "short", "corrupt", "directory"]
)
def test_rules_that_cannot_be_read_drop_the_connection_and_not_the_server(
    start: Start, tmp_path: Path, bad: bytes | str | None, warm: bool
) -> None:
    server = start("-v", rules=":allow", program=["echo", "hi"], warm=warm)
    assert server.talk()
    rules = tmp_path / "rules.cdb"
    rules.unlink()
    if isinstance(bad, bytes):
        rules.write_bytes(bad)
    elif bad:
        rules.mkdir()
    assert server.talk() == b""
    assert "warning: dropping connection, unable to read rules.cdb: " in server.until("end \\d+ status 28416")
    if bad == "directory":
        rules.rmdir()
    compile_rules(tmp_path, ":allow")
    assert server.talk()


def test_missing_rules_allow_with_X(start: Start) -> None:
    server = start("-X", "-x", "none.cdb", program=["echo", "hi"])
    assert server.talk() == b"hi\n"


def test_the_banner_comes_before_everything_and_also_before_a_refusal(start: Start) -> None:
    server = start("-B", "220 hi\\r\n", rules="127.0.0.2:deny", program=["echo", "prog"])
    assert server.talk() == b"220 hi\\r\nprog\n"
    assert server.talk(source="127.0.0.2") == b"220 hi\\r\n"


def test_at_the_limit_clients_wait_until_another_leaves(start: Start) -> None:
    server = start("-c2", "-v", program=["sh", "-c", "echo in; cat"])
    clients = [socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(3)]
    for client in clients[:2]:
        assert client.recv(10) == b"in\n"
    clients[2].settimeout(0.2)
    with pytest.raises(TimeoutError):
        clients[2].recv(10)
    clients[0].close()
    clients[2].settimeout(PATIENCE)
    assert clients[2].recv(10) == b"in\n"
    for client in clients[1:]:
        client.close()
    assert "status: 3/2" not in server.until("status: 0/2", 2)


@pytest.mark.parametrize("warm", [False, True])
def test_one_client_gets_no_more_than_its_share(start: Start, warm: bool) -> None:
    server = start("-C1", "-v", program=["sh", "-c", "echo in; cat"], warm=warm)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as first:
        assert first.recv(100)
        assert server.talk() == b""
        server.until("deny .* :127.0.0.1::")
    server.until("end \\d+ status 0")
    assert server.talk()


@pytest.mark.parametrize("warm", [False, True])
def test_TERM_ends_the_server_and_leaves_its_sessions(start: Start, warm: bool) -> None:
    server = start(program=["sh", "-c", "echo in; read x; echo out"], warm=warm)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        assert client.recv(100)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(PATIENCE)
        assert client.recv(100) == (b"" if warm else b"out\n")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))
    assert server.log.read_text() == ""


def test_host_0_listens_on_both_families(start: Start) -> None:
    server = start(
        host="0", program=["sh", "-c", "echo $TCPLOCALIP $TCPREMOTEIP"], rules="[::1]:allow\n127.:allow\n:deny"
    )
    assert server.talk("127.0.0.3") == b"127.0.0.3 127.0.0.1\n"
    assert server.talk("::1") == b"::1 ::1\n"


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_IPv6_host_is_an_address(start: Start, host: str) -> None:
    server = start("-v", host=host, rules="[::/64]:deny\n[::1]:allow")
    server.talk("::1")
    server.until(r"ok \d+ 0:::1:\d+ :::1::\d+$")


def test_a_server_without_descriptors_drops_that_connection_and_goes_on(start: Start) -> None:
    # Connections that wait for a proxy's header stay in the server's hands.
    server = start("-v", "-c", "100", "-y", "127.0.0.8", program=["echo", "hi"])
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (24, 24))
    held = [socket.create_connection(("127.0.0.1", server.port), PATIENCE, ("127.0.0.8", 0)) for _ in range(30)]
    server.until("dropping connection, unable to accept: process cannot open more files")
    for client in held:
        client.close()
    end = time.monotonic() + PATIENCE
    # Those still in the queue may be in the way of the first new ones.
    while server.talk() != b"hi\n":
        assert time.monotonic() < end


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    server = subprocess.Popen(
        [BIN / "tcpserver", "-v1HRl0", "127.0.0.1", "0", "true"], stdout=subprocess.PIPE, stderr=writer, cwd=tmp_path
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    try:
        for _ in range(400):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.settimeout(PATIENCE)
                assert client.recv(1) == b""
        os.close(writer)
        log = b""
        while log.count(b"end ") < 400:
            log += os.read(reader, 65536)
        assert b"status: 0/40" in log
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        os.close(reader)
