"""tcpclient connects, and the small tools ask other hosts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from conftest import Run
from nameserver import NameServer
from scripted import Peer

SHOW = ["sh", "-c", "echo $PROTO ${TCPREMOTEHOST-unset} ${TCPLOCALHOST-unset} $TCPREMOTEIP $TCPREMOTEPORT"]
ZONE = {
    ("two.example.org", "A"): ["127.0.0.8", "127.0.0.9"],
    ("six.example.org", "AAAA"): ["::1"],
    ("1.0.0.127.in-addr.arpa", "PTR"): ["One.Example.org."],
}


@pytest.fixture
def names() -> Iterator[NameServer]:
    """A name server."""
    with NameServer(dict(ZONE)) as server:
        yield server


def test_the_program_reads_6_and_writes_7(program: Run) -> None:
    with Peer([b"hello\n", "line"]) as peer:
        done = program(
            *("tcpclient", "-RHl0", "127.0.0.1", str(peer.port), "sh", "-c", "head -n 1 <&6; echo bye >&7; exit 3")
        )
    assert (done.returncode, done.stdout, done.stderr) == (3, b"hello\n", b"")
    assert peer.got == [b"bye\n"]


def test_both_ends_are_named(program: Run, names: NameServer) -> None:
    with Peer([]) as peer:
        done = program("tcpclient", "-R", "127.0.0.1", str(peer.port), *SHOW, env=names.environ)
    assert done.stdout.decode() == f"TCP one.example.org one.example.org 127.0.0.1 {peer.port}\n"


def test_every_address_is_tried_and_each_failure_told(program: Run, names: NameServer) -> None:
    with Peer([], address="127.0.0.9") as peer:
        done = program("tcpclient", "-vRHl0", "two.example.org", str(peer.port), "true", env=names.environ)
        assert done.returncode == 0
        assert done.stderr.splitlines()[-1].decode() == f"tcpclient: connected to 127.0.0.9 port {peer.port}"
    done = program("tcpclient", "-RHl0", "two.example.org", str(peer.port), "true", env=names.environ)
    assert done.returncode == 111
    assert sorted(done.stderr.decode().splitlines()) == [
        f"tcpclient: unable to connect to 127.0.0.{i} port {peer.port}: connection refused" for i in (8, 9)
    ]
    done = program("tcpclient", "-qRHl0", "two.example.org", str(peer.port), "true", env=names.environ)
    assert (done.returncode, done.stderr) == (111, b"")


def test_a_host_may_have_ipv6_only(program: Run, names: NameServer) -> None:
    with Peer([], address="::1") as peer:
        for host in ("six.example.org", "::1", "[::1]"):
            done = program("tcpclient", "-RHl0", host, str(peer.port), *SHOW, env=names.environ)
            assert done.stdout.decode() == f"TCP unset 0 ::1 {peer.port}\n"


def test_an_address_that_is_silent_has_the_time_it_was_given(program: Run) -> None:
    # A listener whose queue is full answers nothing.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        done = program("tcpclient", "-RHl0", "-T1", "127.0.0.1", str(port), "true")
        for client in waiting:
            client.close()
    assert (done.returncode, done.stderr.decode()) == (
        111,
        f"tcpclient: unable to connect to 127.0.0.1 port {port}: timed out\n",
    )


def test_our_own_end_may_be_chosen(program: Run) -> None:
    with Peer([]) as peer:
        done = program(
            "tcpclient", "-RHl0", "-i", "127.0.0.7", "127.0.0.1", str(peer.port), "sh", "-c", "echo $TCPLOCALIP"
        )
        assert done.stdout == b"127.0.0.7\n"
        done = program("tcpclient", "-RHl0", "-i", "192.0.2.1", "127.0.0.1", str(peer.port), "true")
    assert done.stderr == b"tcpclient: fatal: unable to bind socket: address not available\n"


@pytest.mark.parametrize(
    ("host", "code", "said"),
    [
        ("none.example.org", 0, b"no IP address for none.example.org"),
        (
            "broken.example.org",
            2,
            b"temporarily unable to figure out IP address for broken.example.org: temporary failure",
        ),
        (
            "x" * 64 + ".org",
            0,
            b"temporarily unable to figure out IP address for " + b"x" * 64 + b".org: protocol error",
        ),
    ],
)
def test_a_host_without_an_address_is_told(program: Run, names: NameServer, host: str, code: int, said: bytes) -> None:
    if code:
        names.codes[host] = code
    done = program("tcpclient", "-RHl0", host, "1", "true", env=names.environ)
    assert (done.returncode, done.stderr) == (111, b"tcpclient: fatal: " + said + b"\n")


def test_mconnect_talks_line_by_line(program: Run) -> None:
    with Peer([b"220 x\r\n", "line", b"221 bye\r\n", "close"]) as peer:
        done = program("mconnect", "127.0.0.1", str(peer.port), stdin=b"QUIT\n")
    assert (done.returncode, done.stdout) == (0, b"220 x\r\n221 bye\r\n")
    assert peer.got == [b"QUIT\r\n"]


def test_tcpcat_prints_what_comes(program: Run) -> None:
    with Peer([b"a\r\nb\0\xff", "close"]) as peer:
        assert program("tcpcat", "127.0.0.1", str(peer.port)).stdout == b"a\r\nb\0\xff"


def test_http_prints_the_body_without_empty_lines(program: Run) -> None:
    page = b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nbody 1\r\n\r\nbody 2\r\nrest"
    with Peer(["line", "line", "line", page, "close"]) as peer:
        done = program("http@", "127.0.0.1", "a/b?c", str(peer.port))
    assert (done.returncode, done.stdout) == (0, b"body 1\nbody 2\nrest\n")
    assert peer.got == [b"GET /a/b?c HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % peer.port]


@pytest.mark.skipif(os.geteuid() != 0, reason="low ports need root")
@pytest.mark.parametrize(
    ("words", "port", "asked"), [(["who@"], 11, b""), (["date@"], 13, b""), (["finger@", "joe"], 79, b"joe\r\n")]
)
def test_the_small_tools_show_what_a_host_says(program: Run, words: list[str], port: int, asked: bytes) -> None:
    steps: list[bytes | str] = ["line"] if asked else []
    with Peer([*steps, b"a\r\nb\x1b\xe9\r\n", "close"], address="127.0.0.17", port=port) as peer:
        done = program(words[0], "127.0.0.17", *words[1:])
    assert (done.returncode, done.stdout) == (0, b"a\nb^[M-i\n")
    assert b"".join(peer.got) == asked
