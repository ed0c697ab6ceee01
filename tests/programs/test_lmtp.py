"""lmtp: what it says to a mail store, and what becomes of the answers."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from conftest import Run
from scripted import Peer, Step

HELLO = b"250-store\r\n250 PIPELINING\r\n"
LIMIT = 20  # seconds for anything


def env(home: Path, **more: str) -> dict[str, str]:
    return {"QMAIL_HOME": str(home), **more}


def talk(*answers: bytes) -> list[Step]:
    """A server that answers to MAIL, RCPT, DATA and the message."""
    steps: list[Step] = [b"220 store\r\n", "line", HELLO, "line", "line", "line", b"".join(answers[:3])]
    return [*steps, "data", answers[3]] if len(answers) > 3 else steps


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ((b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 2.0.0 <joe> saved\r\n"), 0, b"250 2.0.0 <joe> saved"),
        ((b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"552 5.2.2 full\r\n"), 100, b"552 5.2.2 full"),
        ((b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"452 4.2.2 later\r\n"), 111, b"452 4.2.2 later"),
        ((b"250 ok\r\n", b"550 5.1.1 nobody\r\n", b"503 no\r\n"), 100, b"550 5.1.1 nobody"),
        ((b"250 ok\r\n", b"451 4.3.0 wait\r\n", b"503 no\r\n"), 111, b"451 4.3.0 wait"),
        ((b"550 not you\r\n", b"503 no\r\n", b"503 no\r\n"), 100, b"550 not you"),
    ],
    ids=["delivered", "refused", "deferred", "no recipient", "recipient later", "no sender"],
)
def test_the_answer_for_the_recipient_is_the_exit_code(
    home: Path, program: Run, answers: tuple[bytes, ...], code: int, said: bytes
) -> None:
    (home / "control/me").write_text("here.example\n")
    with Peer(talk(*answers)) as peer:
        done = program(
            "lmtp", f"127.0.0.1:{peer.port}", env=env(home, SENDER="s@a", RECIPIENT="joe@here.example"),
            stdin=b"Subject: x\n\n.dot\nno end",
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, b"")
    assert said in done.stdout
    lines = b"LHLO here.example\r\nMAIL FROM:<s@a>\r\nRCPT TO:<joe@here.example>\r\nDATA\r\n"
    assert peer.got[0].startswith(lines)
    if len(answers) > 3:
        assert peer.got[0].removeprefix(lines) == b"Subject: x\r\n\r\n..dot\r\nno end\r\n.\r\nQUIT\r\n"


def test_a_store_behind_a_socket_and_a_name_of_its_own(home: Path, program: Run, tmp_path: Path) -> None:
    path = tmp_path / "store"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    got: list[bytes] = []

    def serve() -> None:
        peer, _ = listener.accept()
        peer.settimeout(LIMIT)
        lines = peer.makefile("rb")
        peer.sendall(b"220 store\r\n")
        for answer in (b"250 store\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            got.append(lines.readline())
            peer.sendall(answer)
        while lines.readline() != b".\r\n":
            pass
        peer.sendall(b"250 saved\r\n")
        lines.read()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    done = program("lmtp", str(path), "joe", env=env(home, SENDER=""), stdin=b"x\n")
    thread.join(LIMIT)
    listener.close()
    assert (done.returncode, done.stderr) == (0, b"")
    assert got[1:] == [b"MAIL FROM:<>\r\n", b"RCPT TO:<joe>\r\n", b"DATA\r\n"]


@pytest.mark.parametrize("server", ["/nowhere/lmtp", "127.0.0.1:1"])
def test_without_a_store_mail_waits(home: Path, program: Run, server: str) -> None:
    done = program("lmtp", server, "joe", env=env(home, SENDER="s@a"), stdin=b"x\n")
    assert done.returncode == 111
    assert done.stderr.startswith(b"lmtp: fatal: unable to connect to " + server.encode())


@pytest.mark.parametrize(
    "words", [[], ["a", "b", "c"], ["127.0.0.1"], ["name:24"], ["127.0.0.1:0"], ["-t", "0", "/x"], ["-x", "/x"]]
)
def test_wrong_use_is_told(home: Path, program: Run, words: list[str]) -> None:
    done = program("lmtp", *words, env=env(home, SENDER="s@a", RECIPIENT="r@b"), stdin=b"x\n")
    assert done.returncode == 100
    assert done.stderr.startswith(b"lmtp: usage: lmtp [ -t seconds ] server [ recipient ]")


@pytest.mark.parametrize("bad", ["a\nRCPT TO:<b@c>", "a>b"])
def test_an_address_cannot_bring_commands_along(home: Path, program: Run, bad: str) -> None:
    for variables in ({"SENDER": bad, "RECIPIENT": "r@b"}, {"SENDER": "s@a", "RECIPIENT": bad}):
        done = program("lmtp", "127.0.0.1:1", env=env(home, **variables), stdin=b"x\n")
        assert done.returncode == 100
        assert b"cannot be sent by LMTP" in done.stderr
