"""tcpserver accepts, asks the rules, hands over and logs."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BIN = TOP / "bin"
PATIENCE = 10.0

# A resident with one worker, which answers with a word and the client's address.
STUB = """
import os, sys, _socket
sys.path.insert(0, "TREE")
from qmail.host import signals
from qmail.host.program import run
from qmail.programs.ucspi import tcpserver

class Stub:
    def begin(self, listener_fds):
        self.ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid:
            return theirs.close()
        signals.restore()
        self.ours.close()
        for fd in listener_fds:
            os.close(fd)
        while True:
            packet, ancillary, _, _ = theirs.recvmsg(65536, 64)
            if not packet:
                os._exit(0)
            fd = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            os.write(fd, b"warm " + packet[8:] + b"\\n")
            os.read(fd, 1)
            if b"crash" in packet:
                os._exit(7)
            os.close(fd)
            try:
                theirs.send(packet[:8])
            except OSError:
                os._exit(0)

    def serve(self, fd, environ, number):
        if b"QMAILQUEUE" in environ:
            return False
        self.number = number
        words = environ[b"TCPREMOTEIP"] + b" " + environ.get(b"WORD", b"-")
        self.ours.sendmsg([number.to_bytes(8, "big") + words], [(1, 1, fd.to_bytes(4, sys.byteorder))])
        return True

    def descriptors(self):
        return [self.ours.fileno()]

    def ended(self, descriptor):
        packet = self.ours.recv(8)
        return [(int.from_bytes(packet, "big"), 0)] if packet else []

    def reaped(self, pid, status):
        return [(self.number, status)] if pid == self.pid else None

    def close(self):
        self.ours.close()

run(lambda argv, environ: tcpserver.main(argv, environ, lambda program, environ: Stub()))
""".replace("TREE", str(TOP / "src"))


class Server:
    """A running tcpserver."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.log = cwd / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.port = int(line)

    def talk(self, address: str = "127.0.0.1", source: str = "", send: bytes = b"") -> bytes:
        with socket.create_connection((address, self.port), PATIENCE, (source, 0) if source else None) as client:
            client.settimeout(PATIENCE)
            text = b""
            try:
                client.sendall(send)
                client.shutdown(socket.SHUT_WR)
                while piece := client.recv(65536):
                    text += piece
            except (BrokenPipeError, ConnectionResetError):
                pass  # a refused client may find its words unread
            return text

    def until(self, pattern: str, times: int = 1) -> str:
        """The log, when it has so many lines with this pattern."""
        end = time.monotonic() + PATIENCE
        while len(re.findall(pattern, text := self.log.read_text(), re.MULTILINE)) < times:
            assert time.monotonic() < end, f"not {times} times {pattern!r} in:\n{text}"
            time.sleep(0.005)
        return text


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server: `start("-v", program=["echo", "hi"], rules=":deny")`."""
    running: list[Server] = []

    def begin(
        *options: str,
        host: str = "127.0.0.1",
        program: list[str] | None = None,
        rules: str | None = None,
        warm: bool = False,
        env: dict[str, str] | None = None,
        names: str = "-HRl0",
    ) -> Server:
        words = list(options)
        if rules is not None:
            compile_rules(tmp_path, rules)
            words += ["-x", "rules.cdb"]
        (tmp_path / "stub.py").write_text(STUB)
        command = ["/usr/bin/python3", "-IS", "stub.py"] if warm else [str(BIN / "tcpserver")]
        server = Server(
            [*command, names, "-1", *words, host, "0", *(program or ["true"])],
            tmp_path,
            {"PATH": f"{BIN}:/usr/bin:/bin", **(env or {})},
        )
        running.append(server)
        return server

    yield begin
    for server in running:
        server.process.kill()
        server.process.wait()
        assert server.process.stdout is not None
        server.process.stdout.close()


def compile_rules(directory: Path, text: str) -> None:
    subprocess.run(
        [BIN / "tcprules", "rules.cdb", "rules.tmp"],
        input=text.encode(),
        cwd=directory,
        check=True,
        capture_output=True,
    )


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
