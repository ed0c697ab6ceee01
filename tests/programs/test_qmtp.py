"""QMTP and QMQP: both servers, and the client that stands in for qmail-queue."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root
from keeping import Keeper
from qmail.formats.netstring import netstring

CALLER = {"TCPREMOTEIP": "192.0.2.7", "TCPLOCALHOST": "mx.example.org", "TCPREMOTEHOST": "client.example.net"}
TEXT = b"Subject: x\n\nhello\n"


def package(text: bytes, *recipients: bytes, sender: bytes = b"s@a.example") -> bytes:
    return netstring(text) + netstring(sender) + netstring(b"".join(map(netstring, recipients)))


def bundle(text: bytes, *recipients: bytes, sender: bytes = b"s@a.example") -> bytes:
    return netstring(netstring(text) + netstring(sender) + b"".join(map(netstring, recipients)))


def answers(data: bytes) -> list[bytes]:
    found = []
    while data:
        size, _, data = data.partition(b":")
        found.append(data[: int(size)])
        assert data[int(size) : int(size) + 1] == b","
        data = data[int(size) + 1 :]
    return found


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


Serve = Callable[..., "tuple[int, list[bytes]]"]


@pytest.fixture
def serve(home: Path, keeper: Keeper, program: Run) -> Serve:
    (home / "control/rcpthosts").write_text("example.org\n.sub.example\n")

    def run(name: str, data: bytes, **more: str) -> tuple[int, list[bytes]]:
        env = {"QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), **CALLER, **more}
        done = program(name, stdin=data, env=env)
        assert done.stderr == b"" or done.returncode == 111
        return done.returncode, answers(done.stdout)

    return run


def test_each_recipient_gets_an_answer(serve: Serve, keeper: Keeper) -> None:
    code, said = serve("qmail-qmtpd", package(b"\n" + TEXT, b"a@example.org", b"b@x.y", b"c@z.sub.example", b"d\0"))
    assert code == 0
    assert [answer[:1] for answer in said] == [b"K", b"D", b"K", b"D"]
    assert re.fullmatch(rb"Kok \d+ qp \d+", said[0])
    ((message, envelope),) = keeper.kept
    assert envelope == b"Fs@a.example\0Ta@example.org\0Tc@z.sub.example\0\0"
    assert message.endswith(b" -0000\n" + TEXT)
    assert message.startswith(b"Received: from client.example.net (192.0.2.7)\n  by mx.example.org with QMTP; ")


def test_packages_follow_each_other(serve: Serve, keeper: Keeper) -> None:
    code, said = serve("qmail-qmtpd", package(b"\na", b"x") + package(b"\nb") + package(b"\rc\r\nd\re\r", b"y"))
    assert (code, len(said), len(keeper.kept)) == (0, 2, 3)
    assert keeper.kept[2][0].endswith(b" -0000\nc\nd\re\r")
    assert keeper.kept[1][1] == b""


def test_a_relay_client_may_send_anywhere(serve: Serve, keeper: Keeper) -> None:
    assert serve("qmail-qmtpd", package(b"\n", b"a@b"), RELAYCLIENT="@c")[1][0].startswith(b"K")
    assert keeper.kept[0][1].endswith(b"Ta@b@c\0\0")


def test_without_rcpthosts_nothing_is_open(serve: Serve, home: Path) -> None:
    (home / "control/rcpthosts").unlink()
    assert [answer[:1] for answer in serve("qmail-qmtpd", package(b"\n", b"a@b", b"c"))[1]] == [b"D", b"K"]
    (home / "control/rcpthosts").mkdir()
    assert serve("qmail-qmtpd", package(b"\n", b"a@b")) == (111, [])


@pytest.mark.parametrize(("size", "verdict"), [(40, b"K"), (41, b"D")])
def test_databytes_counts_the_message_alone(serve: Serve, home: Path, size: int, verdict: bytes) -> None:
    (home / "control/databytes").write_text("40\n")
    assert serve("qmail-qmtpd", package(b"\n" + b"x" * size, b"a"))[1][0][:1] == verdict
    assert serve("qmail-qmtpd", package(b"\n" + b"x" * size, b"a"), DATABYTES="0")[1][0][:1] == b"K"


@pytest.mark.parametrize("sender", [b"a\0b", b"x" * 1000])
def test_a_sender_that_no_envelope_holds_is_refused(serve: Serve, keeper: Keeper, sender: bytes) -> None:
    assert serve("qmail-qmtpd", package(b"\n", b"a", sender=sender))[1] == [b"Dunacceptable sender (#5.1.7)"]
    assert serve("qmail-qmqpd", bundle(b"", b"a", sender=sender))[1][0].startswith(b"D")
    assert [envelope for _, envelope in keeper.kept] == [b"", b""]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 0),
        (b"3:\nx", 0),
        (b"3:\nxyz", 100),
        (b"4:xyz\n,1:s,4:1:b,,", 100),
        (b"0:,", 100),
        (b"-1:x,", 100),
        (b"999999999999:", 111),
        (package(b"\nx", b"a")[:-2] + b"x,", 100),
        (netstring(b"\nx") + netstring(b"s") + b"3:1:a,,", 100),
    ],
)
def test_what_is_no_qmtp_ends_without_an_answer(serve: Serve, keeper: Keeper, data: bytes, code: int) -> None:
    assert serve("qmail-qmtpd", data) == (code, [])
    assert not any(envelope for _, envelope in keeper.kept)


@pytest.mark.parametrize("rest", [b"x", b"4:x", b"99999999999:", package(b"\nx", b"a")[:-2] + b"x,"])
def test_what_was_taken_is_acknowledged_before_a_broken_package_ends_it(
    serve: Serve, keeper: Keeper, rest: bytes
) -> None:
    code, said = serve("qmail-qmtpd", package(b"\nx", b"a@example.org") * 3 + rest)
    assert code in (100, 111)
    assert [answer[:1] for answer in said] == [b"K"] * 3
    assert sum(envelope != b"" for _, envelope in keeper.kept) == 3


def test_a_recipient_of_others_is_refused_for_that(serve: Serve) -> None:
    said = serve("qmail-qmtpd", package(b"\n", b"a\0b@x.y", b"a\0b@example.org"))[1]
    assert [answer[-8:] for answer in said] == [b"(#5.7.1)", b"(#5.1.3)"]


def test_more_recipients_than_can_be_are_refused(serve: Serve) -> None:
    assert serve("qmail-qmtpd", package(b"\n", *[b"a"] * 100_001)) == (111, [])


def test_qmqp_takes_one_message_for_anybody(serve: Serve, keeper: Keeper) -> None:
    code, said = serve("qmail-qmqpd", bundle(b"a\r\nb", b"x@y", b"") + b"more")
    assert (code, len(said), said[0][:1]) == (0, 1, b"K")
    ((message, envelope),) = keeper.kept
    assert envelope == b"Fs@a.example\0Tx@y\0T\0\0"
    assert b" with QMQP; " in message
    assert message.endswith(b" -0000\na\r\nb")


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", 0), (b"20:5:ab", 0), (b"0:,", 100), (b"3:0:,,", 100), (b"7:0:,0:,,,", 100), (b"999999999999:", 111)],
)
def test_what_is_no_qmqp_ends_without_an_answer(serve: Serve, data: bytes, code: int) -> None:
    assert serve("qmail-qmqpd", data) == (code, [])


class Server:
    """Something on port 628 of an address of its own."""

    def __init__(self, address: str, *command: str, env: dict[str, str] | None = None) -> None:
        import socket

        self.listener = socket.create_server((address, 628))
        self.listener.settimeout(20)
        self.command, self.env = command, env
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        with connection:
            subprocess.run(self.command, stdin=connection, stdout=connection, env=self.env, timeout=20)

    def close(self) -> None:
        self.listener.close()
        self.thread.join(20)


def hand_over(home: Path, text: bytes, envelope: bytes) -> int:
    (home / "message").write_bytes(text)
    (home / "envelope").write_bytes(envelope)
    env = {"PATH": "/usr/bin:/bin", "QMAIL_HOME": str(home)}
    with open(home / "message", "rb") as message, open(home / "envelope", "rb") as where:
        return subprocess.run([BIN / "qmail-qmqpc"], stdin=message, stdout=where, env=env, timeout=60).returncode


@needs_root
def test_a_host_without_a_queue_hands_its_mail_over(home: Path, keeper: Keeper) -> None:
    (home / "control/qmqpservers").write_text("# first\nlocalhost\n127.0.0.98\n127.0.0.99 the one\n")
    env = {"QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), "PATH": "/usr/bin:/bin"}
    server = Server("127.0.0.99", str(BIN / "qmail-qmqpd"), env=env)
    text = b"Subject: large\n\n" + bytes(range(256)) * 20_000
    try:
        assert hand_over(home, text, b"Fs@a\0Tb@c\0T\0\0") == 0
    finally:
        server.close()
    ((message, envelope),) = keeper.kept
    assert envelope == b"Fs@a\0Tb@c\0T\0\0"
    assert message.endswith(text)


@needs_root
@pytest.mark.parametrize(
    ("answer", "code"), [("2:Kx,", 0), ("2:Zx,", 71), ("2:Dx,", 31), ("2:Xx,", 74), ("", 74), ("0:,", 74)]
)
def test_the_servers_verdict_is_an_exit_code(home: Path, answer: str, code: int) -> None:
    (home / "control/qmqpservers").write_text("127.0.0.99\n127.0.0.98\n")
    server = Server("127.0.0.99", "sh", "-c", f"head -c 10 >/dev/null; printf '%s' '{answer}'; cat >/dev/null &")
    try:
        assert hand_over(home, b"x\n", b"Fs\0Tb\0\0") == code
    finally:
        server.close()


@needs_root
def test_an_answer_counts_though_the_server_hangs_up_before_it_has_read_all(home: Path) -> None:
    (home / "control/qmqpservers").write_text("127.0.0.99\n")
    server = Server("127.0.0.99", "sh", "-c", "head -c 1 >/dev/null; printf 2:Kx,")
    try:
        assert hand_over(home, b"x\n" * 1000, b"Fs\0Tb\0\0") == 0
    finally:
        server.close()


@pytest.mark.parametrize(
    ("servers", "envelope", "code"),
    [
        (None, b"Fs\0Tb\0\0", 55),
        ("localhost\n", b"Fs\0Tb\0\0", 55),
        ("127.0.0.98\n", b"Fs\0Tb\0\0", 73),
        ("127.0.0.98\n", b"Fs\0Tb\0", 91),
        ("127.0.0.98\n", b"Ts\0\0", 91),
        ("127.0.0.98\n", b"F" + b"x" * 1003 + b"\0\0", 11),
    ],
)
def test_what_cannot_be_handed_over_is_told_apart(home: Path, servers: str | None, envelope: bytes, code: int) -> None:
    if servers is not None:
        (home / "control/qmqpservers").write_text(servers)
    assert hand_over(home, b"x\n", envelope) == code
