"""qmail-smtpd as a program: the queue program it runs, and what becomes of the exit code."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, Run

ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n"
MESSAGE = ENVELOPE + b"hello\r\n.\r\n"


@pytest.fixture
def place(home: Path) -> Path:
    (home / "control/me").write_text("mx.example.org\n")
    (home / "control/rcpthosts").write_text("example.org\n")
    return home


def queue_program(place: Path, script: str) -> dict[str, str]:
    """The environment in which this shell script is the queue program."""
    path = place / "queue-program"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return {"QMAIL_HOME": str(place), "QMAILQUEUE": str(path), "TCPREMOTEIP": "192.0.2.7"}


@pytest.mark.parametrize(
    ("script", "reply"),
    [
        ("cat >/dev/null; exit 0", b"250 ok "),
        ("cat >/dev/null; exit 11", b"554 envelope address too long for qq (#5.1.3)\r\n"),
        ("exit 31", b"554 mail server permanently rejected message (#5.3.0)\r\n"),
        ("exit 40", b"554 qq permanent problem (#5.3.0)\r\n"),
        ("exit 41", b"451 qq temporary problem (#4.3.0)\r\n"),
        ("exit 53", b"451 qq write error or disk full (#4.3.0)\r\n"),
        ("exit 127", b"451 qq temporary problem (#4.3.0)\r\n"),
        ("kill -9 $$", b"451 qq crashed (#4.3.0)\r\n"),
        ("printf Dno >&6; exit 82", b"554 no\r\n"),
        ("printf 'Zwait\\n250 ok\\n' >&6; exit 82", b"451 wait 250 ok\r\n"),
        ("printf D >&6; exit 82", b"451 qq temporary problem (#4.3.0)\r\n"),
        ("printf Dno >&6; exit 31", b"554 mail server permanently rejected message (#5.3.0)\r\n"),
    ],
)
def test_the_queue_program_decides(program: Run, place: Path, script: str, reply: bytes) -> None:
    done = program("qmail-smtpd", stdin=MESSAGE + b"QUIT\r\n", env=queue_program(place, script))
    last = done.stdout.splitlines(keepends=True)[-2]
    assert last.startswith(reply) and done.returncode == 0


def test_the_queue_program_gets_message_and_envelope(program: Run, place: Path, tmp_path: Path) -> None:
    env = queue_program(place, f"cat >{tmp_path}/m; cat <&1 >{tmp_path}/e")
    program("qmail-smtpd", stdin=b"HELO there\r\n" + MESSAGE, env=env)
    text = (tmp_path / "m").read_bytes()
    assert text.startswith(b"Received: from unknown (HELO there) (192.0.2.7)\n  by unknown with SMTP; ")
    assert text.endswith(b" -0000\nhello\n")
    assert (tmp_path / "e").read_bytes() == b"Fa@b.example\0Tc@example.org\0\0"


def test_what_a_queue_program_may_lose_is_not_announced(program: Run, place: Path) -> None:
    (place / "control/smtpextensions").write_text("DSN\nREQUIRETLS\nLIMITS\n")
    lines = b"EHLO c\r\nMAIL FROM:<a@b.example> RET=FULL REQUIRETLS\r\nQUIT\r\n"
    secure = {"QMAIL_HOME": str(place), "SSL_PROTOCOL": "TLSv1.3"}
    announced = program("qmail-smtpd", stdin=lines, env=secure).stdout
    assert b"250-DSN\r\n250-REQUIRETLS\r\n250-LIMITS" in announced and announced.count(b"250 ok\r\n") == 1
    lost = program("qmail-smtpd", stdin=lines, env=queue_program(place, "exit 0") | secure).stdout
    assert b"DSN" not in lost and b"REQUIRETLS" not in lost and b"LIMITS" in lost and b"\r\n555 " in lost
    (place / "bin").unlink()
    (place / "bin").mkdir()
    (place / "bin/qmail-queue").write_text("#!/bin/sh\nexit 0\n")
    (place / "bin/qmail-queue").chmod(0o755)
    assert program("qmail-smtpd", stdin=lines, env=secure).stdout == lost


def test_a_message_that_was_cut_has_no_envelope(program: Run, place: Path, tmp_path: Path) -> None:
    env = queue_program(place, f"cat >{tmp_path}/m; cat <&1 >{tmp_path}/e")
    done = program("qmail-smtpd", stdin=ENVELOPE + b"hello\r\n", env=env)
    assert done.returncode == 1 and (tmp_path / "e").read_bytes() == b""


@pytest.mark.parametrize("stdout", ["full", "closed"])
def test_a_client_that_is_gone_ends_the_program(place: Path, stdout: str) -> None:
    reader, writer = os.pipe()
    if stdout == "closed":
        os.close(reader)
    else:
        reader = -1
        writer = os.open("/dev/full", os.O_WRONLY)
    process = subprocess.Popen(
        [str(BIN / "qmail-smtpd")], stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.PIPE,
        env={"QMAIL_HOME": str(place)},
    )  # fmt: skip
    os.close(writer)
    assert process.communicate(timeout=30)[1] == b"" and process.returncode == 1


def test_fault_035_a_client_that_does_not_read_is_left_after_the_timeout(place: Path) -> None:
    (place / "control/timeoutsmtpd").write_text("1\n")
    process = subprocess.Popen(
        [str(BIN / "qmail-smtpd")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"QMAIL_HOME": str(place)}
    )
    assert process.stdin is not None and process.stdout is not None
    os.set_blocking(process.stdin.fileno(), False)
    while process.poll() is None:
        try:
            os.write(process.stdin.fileno(), b"HELP\r\n" * 1000)
        except BlockingIOError:
            process.wait(30)
        except BrokenPipeError:
            pass
    assert process.returncode == 1
    process.stdin.close()
    process.stdout.close()


def test_term_ends_the_program_and_no_message_is_made(place: Path, tmp_path: Path) -> None:
    env = queue_program(place, f"cat >{tmp_path}/m; cat <&1 >{tmp_path}/e")
    process = subprocess.Popen([str(BIN / "qmail-smtpd")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(ENVELOPE)
    process.stdin.flush()
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    process.stdin.close()
    process.stdout.close()
