"""qmail-authd: logins over its socket, right ones, wrong ones, and clients that misbehave."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, Run
from qmail.protocols import login

LIMIT = 20  # seconds for anything
HERE = b"192.0.2.1"


@pytest.fixture
def service(home: Path, program: Run) -> Iterator[subprocess.Popen[bytes]]:
    """One that knows joe, whose password is `a secret`."""
    (home / "qp").mkdir(exist_ok=True)
    done = subprocess.run(
        [BIN / "qmail-password", "-a", "nobody", "joe"],
        input=b"a secret\n",
        env={"QMAIL_HOME": str(home)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen(
        [BIN / "qmail-authd"], env={"QMAIL_HOME": str(home)}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + LIMIT
    while not (home / "qp/login").is_socket():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.terminate()
    process.wait(LIMIT)


class Talk:
    """One login."""

    def __init__(self, home: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.socket.connect(str(home / "qp/login"))

    def say(self, packet: bytes) -> bytes:
        self.socket.sendall(packet)
        return self.socket.recv(65536)


def plain(home: Path, name: bytes, password: bytes, address: bytes = HERE) -> bytes:
    return Talk(home).say(login.begin(address, b"PLAIN", b"\0" + name + b"\0" + password))


def test_the_right_password_lets_in_and_no_other(home: Path, service: subprocess.Popen[bytes]) -> None:
    assert plain(home, b"joe", b"a secret") == b"Kjoe"
    for name, password in (
        (b"joe", b"another"),
        (b"joe", b"A secret"),
        (b"nobody", b"a secret"),
        (b"JOE", b"a secret"),
    ):
        assert plain(home, name, password, HERE + name) == b"N"
    assert plain(home, b"joe", b"a secret") == b"Kjoe"


def test_login_asks_twice(home: Path, service: subprocess.Popen[bytes]) -> None:
    talk = Talk(home)
    assert talk.say(login.begin(HERE, b"LOGIN", None)) == b"CUsername:"
    assert talk.say(b"Rjoe") == b"CPassword:"
    assert talk.say(b"Ra secret") == b"Kjoe"
    assert talk.socket.recv(1) == b"", "it hangs up after the verdict"


def scram(home: Path, name: bytes, password: bytes) -> bytes:
    """A client by RFC 5802, which also checks the server's own proof."""
    talk = Talk(home)
    first = b"n=" + name + b",r=clientnonce"
    answer = talk.say(login.begin(HERE, b"SCRAM-SHA-256", b"n,," + first))
    assert answer[:1] == b"C"
    fields = dict(part.split(b"=", 1) for part in answer[1:].split(b","))
    assert fields[b"r"].startswith(b"clientnonce") and len(fields[b"r"]) > 30
    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without = b"c=biws,r=" + fields[b"r"]
    message = b",".join([first, answer[1:], without])
    signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
    proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
    answer = talk.say(b"R" + without + b",p=" + base64.b64encode(proof))
    if answer[:1] == b"C":
        expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        assert answer == b"Cv=" + base64.b64encode(expected)
        return talk.say(b"R")
    return answer


def test_scram_proves_both_sides(home: Path, service: subprocess.Popen[bytes]) -> None:
    assert scram(home, b"joe", b"a secret") == b"Kjoe"
    assert scram(home, b"joe", b"another") == b"N"
    assert scram(home, b"nobody", b"a secret") == b"N", "and whoever does not exist gets salt and count like others"


@pytest.mark.parametrize(
    "packets",
    [
        [b"X"], [b"B"], [b"Bonly-an-address"], [b"Rfirst"], [b"B\0NTLM\0x"], [b"B\0PLAIN\0garbage"],
        [b"B\0SCRAM-SHA-256\0n,,n=joe,r=x", b"Rnonsense"], [b"B\0LOGIN", b"Bagain\0LOGIN"],
    ],
)  # fmt: skip
def test_fault_050_nonsense_ends_a_login_and_nothing_else(
    home: Path, service: subprocess.Popen[bytes], packets: list[bytes]
) -> None:
    talk = Talk(home)
    answers = []
    for packet in packets:
        try:
            answers.append(talk.say(packet))
        except OSError:
            answers.append(b"")
    assert answers[-1] in (b"", b"M")
    assert plain(home, b"joe", b"a secret") == b"Kjoe"


def test_failures_make_the_next_ones_wait_and_the_owner_elsewhere_gets_in(
    home: Path, service: subprocess.Popen[bytes]
) -> None:
    assert plain(home, b"joe", b"a secret", b"198.51.100.1") == b"Kjoe"
    for _ in range(5):
        assert plain(home, b"joe", b"wrong") == b"N"  # the last two wait one and two seconds
    slow = Talk(home)
    slow.socket.sendall(login.begin(HERE, b"PLAIN", b"\0joe\0wrong"))
    assert plain(home, b"joe", b"a secret", b"198.51.100.1") == b"Kjoe"
    slow.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        slow.socket.recv(1)
    waiting = [Talk(home) for _ in range(25)]
    for talk in waiting:
        talk.socket.sendall(login.begin(HERE, b"PLAIN", b"\0joe\0wrong"))
    told = []
    for talk in waiting[20:]:
        talk.socket.settimeout(LIMIT)
        told.append(talk.socket.recv(10))
    assert told == [b"Z"] * 5, "no more than twenty may wait for one address"


def test_passwords_that_cannot_be_read_let_nobody_in_and_say_so(home: Path, service: subprocess.Popen[bytes]) -> None:
    os.rename(home / "users/passwords", home / "users/gone")
    assert plain(home, b"joe", b"a secret") == b"Z"
    os.rename(home / "users/gone", home / "users/passwords")
    assert plain(home, b"joe", b"a secret") == b"Kjoe"
    service.terminate()
    assert service.stderr is not None
    assert service.stderr.read().startswith(b"qmail-authd: alert: ")


def test_a_second_one_says_so(home: Path, service: subprocess.Popen[bytes], program: Run) -> None:
    done = program("qmail-authd", env={"QMAIL_HOME": str(home)})
    assert (done.returncode, done.stderr) == (111, b"qmail-authd: fatal: qmail-authd is already running\n")
