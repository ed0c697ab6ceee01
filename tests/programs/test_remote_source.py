"""control/outgoingip and control/sourceaddresses: the address that mail comes from, as the other host sees it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Run, wait_until
from nameserver import NameServer
from sender import Sender

REPLIES = {b"MAIL": b"250 ok\r\n", b"RCPT": b"250 ok\r\n", b"DATA": b"354 go\r\n", b".\r\n": b"250 taken\r\n"}


class Listening:
    """Takes mail at 127.0.0.1 and ::1, at one port, and knows from where each connection came."""

    def __init__(self) -> None:
        self.callers: list[str] = []
        self._listeners = [socket.create_server(("127.0.0.1", 0))]
        self.port = int(self._listeners[0].getsockname()[1])
        self._listeners.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, address = listener.accept()
            except OSError:
                return
            self.callers.append(address[0])
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer, peer.makefile("rb") as lines:
                peer.sendall(b"220 hi\r\n")
                text = False
                for line in lines:
                    if not text or line == b".\r\n":
                        peer.sendall(REPLIES.get(line[:4].upper(), b"250 hi\r\n"))
                    text = line[:4].upper() == b"DATA" or (text and line != b".\r\n")
        except OSError:
            pass  # it has gone


@pytest.fixture
def listening() -> Iterator[Listening]:
    one = Listening()
    yield one
    one.close()


@pytest.fixture
def place(home: Path, listening: Listening) -> Path:
    (home / "control/me").write_text("client.example\n")
    routes = f"four.example:[127.0.0.1]:{listening.port}\nsix.example:[IPv6:::1]:{listening.port}\n"
    (home / "control/smtproutes").write_text(f"{routes}:[127.0.0.1]:{listening.port}\n")
    return home


def send(program: Run, home: Path, host: str) -> bytes:
    done = program("qmail-remote", host, "s@a", f"r@{host}", stdin=b"\nx\n", env={"QMAIL_HOME": str(home)})
    assert done.returncode == 0
    return done.stdout.split(b"\0")[-2]


def test_mail_comes_from_the_address_that_its_domain_has(place: Path, program: Run, listening: Listening) -> None:
    assert send(program, place, "four.example").startswith(b"K")
    (place / "control/outgoingip").write_text("127.0.0.2\n")
    assert send(program, place, "four.example").startswith(b"K")
    (place / "control/sourceaddresses").write_text(
        "other.example:127.0.0.3\n.four.example:127.0.0.4 ::1\nsix.example:::1\n"
    )
    for host in ("four.example", "other.example", "x.four.example", "six.example"):
        assert send(program, place, host).startswith(b"K")
    assert listening.callers == ["127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.4", "::1"]
    (place / "control/outgoingip").write_text("0.0.0.0\n::\n")
    assert send(program, place, "four.example").startswith(b"K")
    assert listening.callers[6:] == ["127.0.0.1"]


CANNOT = b"ZI am to send from %b, and cannot: address not available. (#4.3.5)\n"
OTHER_KIND = b"ZI am to send from addresses of another kind than those of that host, IPv4 or IPv6. (#4.4.1)\n"
NO_ADDRESS = b"ZThe address that I am to send from is none: `mx.example`. (#4.3.5)\n"


@pytest.mark.parametrize(
    ("sources", "host", "words"),
    [
        ("192.0.2.77", "four.example", CANNOT % b"192.0.2.77"),
        ("2001:db8::77", "six.example", CANNOT % b"2001:db8::77"),
        ("127.0.0.2", "six.example", OTHER_KIND),
        ("127.0.0.2 mx.example", "four.example", NO_ADDRESS),
    ],
)
def test_an_address_that_cannot_be_had_is_told_and_temporary(
    place: Path, program: Run, listening: Listening, sources: str, host: str, words: bytes
) -> None:
    (place / "control/sourceaddresses").write_text(f":{sources}\n")
    assert send(program, place, host) == words
    assert not listening.callers


def test_workers_bind_too_and_share_no_connection_of_another_address(place: Path, listening: Listening) -> None:
    (place / "control/sourceaddresses").write_text("a.example:127.0.0.2\nb.example:127.0.0.3\n")
    sender = Sender(place)
    try:
        for at, host in enumerate((b"a.example", b"a.example", b"b.example", b"b.example")):
            sender.order((at, sender.message(at + 1), b"s@a", b"r@" + host))
            assert sender.reports(1)[at].startswith(b"K")
        assert listening.callers[0] == "127.0.0.2" and set(listening.callers) == {"127.0.0.2", "127.0.0.3"}
        assert listening.callers.count("127.0.0.2") == 1, "connections are kept"
        (place / "control/sourceaddresses").write_text(":127.0.0.5\n")
        numbers = iter(range(9, 5000))

        def comes_from_there() -> bool:
            sender.order((1, sender.message(next(numbers)), b"s@a", b"r@a.example"))
            return sender.reports(1)[1].startswith(b"K") and listening.callers[-1] == "127.0.0.5"

        wait_until(comes_from_there)
    finally:
        assert sender.end() == 0


def test_a_mail_exchanger_that_is_where_we_send_from_is_ourselves(home: Path, program: Run) -> None:
    zone = {("far.example", "MX"): ["10 mx.far.example."], ("mx.far.example", "A"): ["192.0.2.77"]}
    (home / "control/me").write_text("client.example\n")
    (home / "control/timeoutconnect").write_text("1\n")
    with NameServer(zone) as server:
        environ = {"QMAIL_HOME": str(home), **server.environ}
        (home / "control/outgoingip").write_text("192.0.2.77\n")
        done = program("qmail-remote", "far.example", "s@a", "r@far.example", stdin=b"\nx\n", env=environ)
    assert b"DSorry. Although I'm listed as a best-preference MX" in done.stdout
