"""tcp-env names the client of a server under inetd."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import BIN, Run
from qmail.protocols import dnsquery

SHOW = 'for v in PROTO TCPLOCALIP TCPREMOTEIP TCPREMOTEHOST TCPREMOTEINFO FOO; do eval echo "$v=\\${$v-unset}"; done'


def under_inetd(home: Path, *words: str, address: str = "127.0.0.1", env: dict[str, str] | None = None) -> list[str]:
    """What a program behind tcp-env says on a connection to `address`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    environ = {"PATH": "/usr/bin:/bin", "QMAIL_HOME": str(home), **(env or {})}
    with (
        socket.create_server((address, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]),
        listener.accept()[0] as peer,
    ):
        done = subprocess.run([BIN / "tcp-env", *words], stdin=peer, env=environ, capture_output=True, timeout=60)
    return done.stdout.decode().splitlines()


class Names:
    """A qmail-dns of the test's own: it answers every question with one status and these records."""

    def __init__(self, home: Path, status: bytes, records: list[bytes]) -> None:
        self.answer = dnsquery.Answer(status, records)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(home / "qr" / "dns"))
        self.listener.listen(5)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        peer, _ = self.listener.accept()
        with peer:
            questions = dnsquery.Questions()
            while data := peer.recv(1000):
                for tag, _kind, _name in questions.feed(data):
                    peer.sendall(dnsquery.answer(tag, self.answer))

    def __enter__(self) -> Names:
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join(10)
        self.listener.close()


@pytest.mark.parametrize(
    ("status", "records", "host"),
    [(b"K", [b"one.example.org"], "one.example.org"), (b"X", [], "unset"), (b"Z", [], "softdnserror")],
)
def test_the_connection_on_descriptor_0_is_described(
    home: Path, status: bytes, records: list[bytes], host: str
) -> None:
    old = {"TCPREMOTEHOST": "old", "TCPREMOTEINFO": "old", "FOO": "kept"}
    with Names(home, status, records):
        assert under_inetd(home, "-R", "sh", "-c", SHOW, env=old) == [
            "PROTO=TCP", "TCPLOCALIP=127.0.0.1", "TCPREMOTEIP=127.0.0.1", f"TCPREMOTEHOST={host}",
            "TCPREMOTEINFO=unset", "FOO=kept",
        ]  # fmt: skip


def test_an_ipv6_client_is_described_too(home: Path) -> None:
    with Names(home, b"X", []):
        said = under_inetd(home, "-R", "sh", "-c", SHOW, address="::1")
    assert said[1:3] == ["TCPLOCALIP=::1", "TCPREMOTEIP=::1"]


def test_under_tcpserver_nothing_changes(program: Run) -> None:
    done = program("tcp-env", "sh", "-c", SHOW, env={"PROTO": "TCP", "TCPREMOTEHOST": "old"})
    assert b"TCPREMOTEHOST=old\n" in done.stdout
    assert b"TCPREMOTEIP=unset\n" in done.stdout


@pytest.mark.parametrize("words", [[], ["-Z", "true"], ["true"], ["-R", "/no/such"]])
def test_whatever_is_wrong_is_111_in_silence(program: Run, words: list[str]) -> None:
    done = program("tcp-env", *words)
    assert (done.returncode, done.stdout, done.stderr) == (111, b"", b"")


def test_letters_that_are_no_options_are_passed_over(program: Run) -> None:
    for words in (["-z"], ["-zr"], ["-r", "-zt5"]):
        done = program(
            "tcp-env", *words, "sh", "-c", "echo $TCPREMOTEIP", env={"PROTO": "TCP", "TCPREMOTEIP": "1.2.3.4"}
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"1.2.3.4\n", b"")
