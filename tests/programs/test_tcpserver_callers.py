"""tcpserver finds out who is calling before it decides, and nobody waits for somebody else's answer."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN
from nameserver import NameServer
from serving import PATIENCE, Start

SHOW = ["sh", "-c", "echo ${TCPREMOTEHOST-unset} ${TCPREMOTEINFO-unset} $TCPREMOTEIP $TCPREMOTEPORT; cat"]
ZONE = {
    ("1.0.0.127.in-addr.arpa", "PTR"): ["One.Example.org."],
    ("2.0.0.127.in-addr.arpa", "PTR"): ["liar.example.org."],
    ("one.example.org", "A"): ["192.0.2.1", "127.0.0.1"],
    ("liar.example.org", "A"): ["192.0.2.1"],
    ("here.example.org", "A"): ["127.0.0.5"],
    ("9.0.0.127.in-addr.arpa", "PTR"): ["slow.example.org."],
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server."""
    with Start(tmp_path) as start:
        yield start


@pytest.fixture
def names() -> Iterator[NameServer]:
    """A name server."""
    with NameServer(dict(ZONE), twists={"9.0.0.127.in-addr.arpa": lambda _: None}) as server:
        yield server


def host_of(answer: bytes) -> bytes:
    return answer.split(b" ")[0]


@pytest.mark.parametrize("warm", [False, True])
def test_the_client_s_name_decides_and_is_handed_on(start: Start, names: NameServer, warm: bool) -> None:
    rules = '=one.example.org:allow,WORD="known"\n:deny'
    server = start("-v", names="-hRl0", rules=rules, env=names.environ, program=SHOW, warm=warm)
    assert host_of(server.talk()) == (b"warm" if warm else b"one.example.org"), server.log.read_text()
    assert server.talk(source="127.0.0.3") == b""
    server.until("ok .* one.example.org:127.0.0.1::")
    server.until("deny .* :127.0.0.3::")


def test_a_paranoid_server_believes_a_name_only_with_its_address(start: Start, names: NameServer) -> None:
    server = start(names="-hpRl0", env=names.environ, program=SHOW)
    assert host_of(server.talk()) == b"one.example.org"
    assert host_of(server.talk(source="127.0.0.2")) == b"unset"
    trusting = start(names="-hRl0", env=names.environ, program=SHOW)
    assert host_of(trusting.talk(source="127.0.0.2")) == b"liar.example.org"


def test_the_local_name_is_asked_for_once(start: Start, names: NameServer) -> None:
    server = start(names="-HR", env=names.environ, program=["sh", "-c", "echo $TCPLOCALHOST"])
    for _ in range(3):
        assert server.talk() == b"one.example.org\n"
    assert names.asked == {("1.0.0.127.in-addr.arpa", "PTR"): 1}


def test_a_silent_name_server_holds_nobody_else_up(start: Start, names: NameServer) -> None:
    server = start(names="-hRl0", env=names.environ, program=SHOW)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE, ("127.0.0.9", 0)):
        for _ in range(5):
            assert host_of(server.talk()) == b"one.example.org"


def test_without_a_name_server_the_name_is_unset(start: Start) -> None:
    env = {"DNSCACHEIP": "127.0.0.1@9", "TCPREMOTEHOST": "old"}
    assert host_of(start(names="-hRl0", env=env, program=SHOW).talk()) == b"unset"


def test_names_are_asked_of_qmail_dns_where_it_runs(start: Start, names: NameServer, home: Path) -> None:
    environ = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin", **names.environ}
    with subprocess.Popen([BIN / "qmail-dns"], env=environ, stdin=subprocess.DEVNULL) as dns:
        try:
            while not (home / "qr" / "dns").exists():
                assert dns.poll() is None
            server = start(names="-hRl0", env={"QMAIL_HOME": str(home)}, program=SHOW)
            assert host_of(server.talk()) == b"one.example.org"
        finally:
            dns.terminate()


def test_a_host_name_is_looked_up_before_listening(start: Start, names: NameServer) -> None:
    env = {**names.environ, "LOCALDOMAIN": "other.example example.org"}
    server = start(host="here", env=env, program=["sh", "-c", "echo $TCPLOCALIP"])
    assert server.talk("127.0.0.5") == b"127.0.0.5\n"


class Ident:
    """An ident server on every loopback address, which says `reply` (None: nothing)."""

    def __init__(self, reply: bytes | None) -> None:
        end = time.monotonic() + PATIENCE
        while True:  # another test may have the port
            try:
                self.listener = socket.create_server(("127.0.0.1", 113))
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        self.asked = b""
        self.reply = reply
        self.thread = threading.Thread(target=self._answer, daemon=True)
        self.thread.start()

    def _answer(self) -> None:
        try:
            peer, _ = self.listener.accept()
            with peer:
                self.asked = peer.recv(100)
                if self.reply is None:
                    peer.recv(100)
                else:
                    peer.sendall(self.reply)
        except OSError:
            pass

    def __enter__(self) -> Ident:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(PATIENCE)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="port 113 needs root")


@needs_root
@pytest.mark.parametrize(
    ("reply", "info"), [(b"1,2:USERID:UNIX: j oe\r\n", "joe"), (b"1,2:ERROR:NO-USER\r\n", ""), (b"nonsense", "unset")]
)
def test_ident_tells_the_user(start: Start, reply: bytes, info: str) -> None:
    with Ident(reply) as ident:
        server = start("-r", names="-Hl0", program=["sh", "-c", "echo ${TCPREMOTEINFO-unset}"])
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
            assert client.makefile("rb").read().decode() == info + "\n"
            ours, theirs = re.findall(rb"\d+", ident.asked)
            assert (int(ours), int(theirs)) == (client.getsockname()[1], server.port)


@needs_root
def test_a_silent_ident_server_is_waited_for_as_long_as_told(start: Start) -> None:
    with Ident(None):
        server = start("-r", "-t1", names="-Hl0", program=["sh", "-c", "echo ${TCPREMOTEINFO-unset}"])
        assert server.talk() == b"unset\n"


def test_ident_is_asked_only_with_r(start: Start) -> None:
    server = start(names="-Hl0", env={"TCPREMOTEINFO": "old"}, program=SHOW)
    assert server.talk().split()[1] == b"unset"


@pytest.mark.parametrize("warm", [False, True])
def test_a_listed_proxy_speaks_for_the_client(start: Start, warm: bool) -> None:
    rules = '192.0.2.7:allow,WORD="far"\n:deny'
    server = start("-v", "-y", "127.0.0.8,10.0.0.0/8", rules=rules, program=SHOW, warm=warm)
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 25\r\n"
    answer = server.talk(source="127.0.0.8", send=header + b"and more")
    assert answer == (b"warm 192.0.2.7 far\n" if warm else b"unset unset 192.0.2.7 1234\nand more")
    server.until("ok .* 0:192.0.2.1:25 :192.0.2.7::1234")
    # From anybody else it is no header, and changes nothing.
    assert server.talk(source="127.0.0.2", send=header) == b""
    server.until("deny .* :127.0.0.2::")


def test_a_listed_proxy_without_a_header_is_dropped(start: Start) -> None:
    server = start("-v", "-y", "127.0.0.8", program=SHOW)
    assert server.talk(source="127.0.0.8", send=b"EHLO x\r\n") == b""
    server.until("warning: dropping connection, no PROXY header from 127.0.0.8")
    server.until("end .* status 28416")
    assert server.talk()


def test_shares_count_the_client_and_not_the_proxy(start: Start) -> None:
    server = start("-C1", "-y", "127.0.0.8", program=SHOW)
    clients = []
    for i in (1, 2, 1):
        client = socket.create_connection(("127.0.0.1", server.port), PATIENCE, ("127.0.0.8", 0))
        client.sendall(b"PROXY TCP4 192.0.2.%d 192.0.2.9 1 2\r\n" % i)
        clients.append(client)
        assert bool(client.recv(100)) == (len(clients) < 3)
    for client in clients:
        client.close()


def test_a_listening_socket_may_be_inherited(tmp_path: Path) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        line = f"export LISTEN_PID=$$ LISTEN_FDS=1; exec {BIN}/tcpserver -HRl0 0 9 sh -c "
        server = subprocess.Popen(
            ["sh", "-c", line + "'echo $TCPREMOTEIP ${LISTEN_FDS-unset}'"],
            cwd=tmp_path,
            close_fds=False,
            preexec_fn=lambda: os.dup2(listener.fileno(), 3),
        )
        try:
            for address, shown in (("127.0.0.1", b"127.0.0.1 unset\n"), ("::1", b"::1 unset\n")):
                with socket.create_connection((address, port), PATIENCE) as client:
                    assert client.makefile("rb").read() == shown
        finally:
            server.kill()
            server.wait()


def test_rules_that_cannot_apply_are_named_at_start(start: Start) -> None:
    rules = "=.example.org:deny\njoe@1.2.3.4:deny\n:allow"
    log = start(rules=rules, env={}).until("without -r")
    assert "warning: rules.cdb: rules for host names never apply with -H: =.example.org" in log
    assert "warning: rules.cdb: rules for users never apply without -r: joe@1.2.3.4" in log
    assert start("-r", names="-hl0", rules=rules, env={"DNSCACHEIP": "127.0.0.1@9"}).log.read_text() == ""


def test_an_identity_that_is_no_number_is_named(start: Start) -> None:
    start("-u", "nobody").until("warning: -u nobody is no number and counts as 0")


def test_a_name_that_nobody_answers_for_ends_the_start(names: NameServer, tmp_path: Path) -> None:
    def said(host: str) -> bytes:
        done = subprocess.run(
            [BIN / "tcpserver", "-HRl0", host, "0", "true"], env=names.environ, capture_output=True, timeout=PATIENCE
        )
        assert done.returncode == 111
        return done.stderr

    names.codes["broken.example.org"] = 2
    assert said("broken.example.org") == (
        b"tcpserver: fatal: temporarily unable to figure out IP address for broken.example.org: temporary failure\n"
    )
    assert said("none.example.org") == b"tcpserver: fatal: no IP address for none.example.org\n"
