"""qmail-remote by QMTP: what it says to a server, and what it makes of the answers."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from conftest import BIN, Run
from qmail.formats import mailparameters
from qmail.formats.mailparameters import Parameters
from qmail.formats.netstring import netstring
from sender import Sender

LIMIT = 30  # seconds for anything


class Taking:
    """A QMTP server: reads packages and answers each with the next of `answers`; b"" hangs up instead."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.packages: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._thread.join(LIMIT)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            peer.settimeout(LIMIT)
            try:
                with peer, peer.makefile("rb") as stream:
                    while package := self._package(stream):
                        self.packages.append(package)
                        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                        if not answer:
                            break
                        peer.sendall(answer)
            except OSError:
                pass

    def _package(self, stream: BinaryIO) -> bytes:
        found = b""
        for _ in range(3):
            length = b""
            while (byte := stream.read(1)) not in (b":", b""):
                length += byte
            if not byte:
                return b""
            found += length + b":" + stream.read(int(length) + 1)
        return found


@pytest.fixture
def place(home: Path) -> Path:
    (home / "control/me").write_text("client.example\n")
    return home


def remote(program: Run, place: Path, port: int, *recipients: str, text: bytes = b"Subject: x\n\nhello") -> list[bytes]:
    (place / "control/qmtproutes").write_text(f"x.example:[127.0.0.1]:{port}\n")
    message = place / "message"
    message.write_bytes(text)
    with open(message, "rb") as file:
        done = subprocess.run(
            [BIN / "qmail-remote", "x.example", "s@a", *(recipients or ("r@x.example",))],
            stdin=file, capture_output=True, timeout=60, env={"QMAIL_HOME": str(place)}, check=True,
        )  # fmt: skip
    return done.stdout.split(b"\0")[:-1]


@pytest.fixture
def taking() -> Iterator[type[Taking]]:
    made: list[Taking] = []

    class Made(Taking):
        def __init__(self, *answers: bytes) -> None:
            super().__init__(*answers)
            made.append(self)

    yield Made
    for each in made:
        each.close()


def test_a_package_is_the_message_the_sender_and_the_recipients_as_they_are(
    place: Path, program: Run, taking: type[Taking]
) -> None:
    server = taking(netstring(b"Kok 1 qp 2") * 2)
    records = remote(program, place, server.port, "r@x.example", "a b@x.example", text=b"S: x\n\n.\r\nno end")
    assert records == [b"r", b"r", b"K127.0.0.1 accepted message.\nRemote host said: ok 1 qp 2\n"]
    recipients = netstring(netstring(b"r@x.example") + netstring(b"a b@x.example"))
    assert server.packages == [netstring(b"\nS: x\n\n.\r\nno end") + netstring(b"s@a") + recipients]


def test_nobody_logs_in_by_qmtp_so_it_needs_no_certificate(place: Path, program: Run, taking: type[Taking]) -> None:
    server = taking(netstring(b"Kok"))
    (place / "control/smtpcredentials").write_text("[127.0.0.1]:user:password\n")
    (place / "control/smtpcredentials").chmod(0o600)
    assert remote(program, place, server.port)[-1].startswith(b"K")
    assert b"password" not in b"".join(server.packages)


@pytest.mark.parametrize(
    ("answers", "letters", "words"),
    [
        ((b"Kok", b"Dno such box", b"Zlater"), [b"r", b"h", b"s", b"K"], b"no such box"),
        ((b"Dno", b"Dno", b"Dno"), [b"h", b"h", b"h", b"D"], b"Giving up on 127.0.0.1."),
        ((b"Zfull", b"Zfull", b"Zfull"), [b"s", b"s", b"s", b"D"], b"full"),
    ],
)
def test_each_recipient_has_an_answer(
    place: Path, program: Run, taking: type[Taking], answers: tuple[bytes, ...], letters: list[bytes], words: bytes
) -> None:
    server = taking(b"".join(map(netstring, answers)))
    records = remote(program, place, server.port, *(f"r{i}@x.example" for i in range(3)))
    assert [record[:1] for record in records] == letters and words in b"".join(records)


@pytest.mark.parametrize("answer", [b"", b"250 ok\r\n", b"3:Xyz,", b"99999999:", b"2:Kx;"])
def test_a_server_that_goes_or_talks_nonsense_may_have_taken_it(
    place: Path, program: Run, taking: type[Taking], answer: bytes
) -> None:
    (place / "control/timeoutremote").write_text("2\n")
    (record,) = remote(program, place, taking(answer).port)
    assert record == b"ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n"


def test_what_cannot_go_waits_and_never_goes_by_smtp(place: Path, program: Run, taking: type[Taking]) -> None:
    server = taking(netstring(b"Kok"))
    (place / "control/tlspolicy").write_text("x.example:encrypt\n")
    (record,) = remote(program, place, server.port)
    assert record.startswith(b"ZConnected to 127.0.0.1 but it does not offer TLS") and not server.packages
    (place / "control/tlspolicy").unlink()
    done = program("qmail-remote", "x.example", "s@a", "r@x.example", stdin=b"x\n", env={"QMAIL_HOME": str(place)})
    assert done.stdout == b"ZQMTP says first how long a message is, and this one is no file. (#4.3.0)\n\0"
    server.close()
    (record,) = remote(program, place, server.port)
    assert record == b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n"


def test_a_message_that_must_keep_its_tls_comes_back(place: Path, taking: type[Taking]) -> None:
    server = taking(netstring(b"Kok"))
    (place / "control/qmtproutes").write_text(f"x.example:[127.0.0.1]:{server.port}\n")
    sender = Sender(place, wide=True)
    required = mailparameters.single(Parameters(b"", b"", True, {}), b"r@x.example")
    try:
        said = []
        for number, parameters in enumerate((b"", required, b""), 1):
            sender.order((number, sender.message(number), b"s@a", b"r@x.example", parameters))
            said.append(sender.reports(1)[number])
        assert [each[:1] for each in said] == [b"K", b"D", b"K"] and b"5.7.30" in said[1]
        assert len(server.packages) == 2
    finally:
        assert sender.end() == 0


def test_a_worker_keeps_its_connection(place: Path, taking: type[Taking]) -> None:
    server = taking(netstring(b"Kok"), netstring(b"Dno"), b"", netstring(b"Kok"))
    (place / "control/qmtproutes").write_text(f"x.example:[127.0.0.1]:{server.port}\n")
    sender = Sender(place)
    try:
        said = []
        for number in range(1, 5):
            sender.order((1, sender.message(number), b"s@a", b"r@x.example"))
            said.append(sender.reports(1)[1][:1])
        assert said == [b"K", b"D", b"Z", b"K"]
        assert server.connections == 2 and len(server.packages) == 4
    finally:
        assert sender.end() == 0
