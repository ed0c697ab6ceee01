"""qmail-queue: one message in, by the real programs; the exit code tells what became of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, needs_root, wait_until
from submitting import ENVELOPE, files, kinds, qmail_queue

Queued = subprocess.Popen[bytes]


def test_a_message_is_queued_with_a_line_that_says_who_brought_it(home: Path, queued: Queued) -> None:
    done = qmail_queue(home, b"Subject: x\n\nhello\n")
    assert (done.returncode, done.stderr) == (0, b"")
    queue = files(home)
    assert kinds(home) == ["intd", "mess", "todo"]
    (mess,) = (content for name, content in queue.items() if name.startswith("mess/"))
    assert re.fullmatch(
        rb"Received: \(qmail \d+ invoked by uid %d\); \d+ \w+ \d{4} [\d:]{8} -0000\nSubject: x\n\nhello\n"
        % os.geteuid(),
        mess,
    )
    (todo,) = (content for name, content in queue.items() if name.startswith("todo/"))
    assert re.fullmatch(rb"u%d\0p\d+\0Fa@b.example\0Tc@d.example\0" % os.geteuid(), todo)
    assert re.findall(rb"qmail (\d+)", mess) == re.findall(rb"\0p(\d+)\0", todo), "one number follows the message"


@needs_root
@pytest.mark.parametrize(
    ("user", "words"),
    [("qmaild", b"from network"), ("qmails", b"for bounce"), ("alias", b"by alias"), (4242, b"by uid 4242")],
)
def test_the_kernel_says_who_brought_it(home: Path, queued: Queued, user: str | int, words: bytes) -> None:
    assert qmail_queue(home, b"x\n", user=user).returncode == 0
    (mess,) = (content for name, content in files(home).items() if name.startswith("mess/"))
    assert b" invoked " + words + b"); " in mess


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000, 5_000_000])
def test_a_message_of_any_size_arrives_byte_for_byte(home: Path, queued: Queued, size: int) -> None:
    text = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert qmail_queue(home, text).returncode == 0
    (mess,) = (content for name, content in files(home).items() if name.startswith("mess/"))
    assert mess.partition(b"\n")[2] == text


def test_ten_thousand_recipients_arrive(home: Path, queued: Queued) -> None:
    recipients = b"".join(b"Trecipient-%d@example.org\0" % number for number in range(10_000))
    assert qmail_queue(home, b"x\n", b"Fa@b\0" + recipients + b"\0").returncode == 0
    (todo,) = (content for name, content in files(home).items() if name.startswith("todo/"))
    assert todo.endswith(b"\0Fa@b\0" + recipients)


LONG = b"a" * 1003


@pytest.mark.parametrize(
    ("envelope", "code", "left"),
    [
        (b"", 54, []),
        (b"F", 54, []),
        (b"Fa\0Tb\0", 54, []),
        (b"F" + LONG[1:] + b"\0T" + LONG[1:] + b"\0\0", 0, ["intd", "mess", "todo"]),
        (b"F" + LONG + b"\0\0", 11, ["intd", "mess"]),
        (b"Fa\0T" + LONG + b"\0\0", 11, ["intd", "mess"]),
        (b"Xa\0\0", 91, ["intd", "mess"]),
        (b"Fa\0Xb\0\0", 91, ["intd", "mess"]),
        (b"\0", 91, ["intd", "mess"]),
    ],
    ids=[
        "empty",
        "F-alone",
        "no-end",
        "1002",
        "sender-1003",
        "recipient-1003",
        "no-F",
        "no-T",
        "only-NUL",
    ],
)
@pytest.mark.parametrize("size", [5, 100_000])
def test_an_envelope_with_a_fault_queues_nothing(
    home: Path, queued: Queued, envelope: bytes, code: int, left: list[str], size: int
) -> None:
    assert qmail_queue(home, b"x" * size, envelope).returncode == code
    assert kinds(home) == left


def running(home: Path) -> tuple[Queued, int, int]:
    """A qmail-queue over pipes: the process, and our ends of its message and its envelope."""
    message, to_message = os.pipe()
    envelope, to_envelope = os.pipe()
    process = subprocess.Popen(
        [str(BIN / "qmail-queue")], stdin=message, stdout=envelope, env={"QMAIL_HOME": str(home)}
    )
    os.close(message)
    os.close(envelope)
    return process, to_message, to_envelope


@pytest.mark.parametrize(
    ("envelope", "code"), [(ENVELOPE, 0), (b"Xa\0", 91), (b"F" + LONG, 11)], ids=["whole", "malformed", "too-long"]
)
def test_it_does_not_wait_for_more_of_an_envelope_than_it_needs(
    home: Path, queued: Queued, envelope: bytes, code: int
) -> None:
    process, message, to_envelope = running(home)
    os.close(message)
    os.write(to_envelope, envelope)
    assert process.wait(20) == code
    os.close(to_envelope)


def test_an_alarm_ends_it_with_52_and_a_half_message_goes(home: Path, queued: Queued) -> None:
    process, message, envelope = running(home)
    os.write(message, b"x" * 60_000)
    os.write(message, b"x" * 60_000)
    wait_until(lambda: "mess" in kinds(home))
    process.send_signal(signal.SIGALRM)
    assert process.wait(20) == 52
    wait_until(lambda: files(home) == {})
    os.close(message)
    os.close(envelope)


def test_a_killed_client_leaves_nothing(home: Path, queued: Queued) -> None:
    process, message, envelope = running(home)
    os.write(message, b"x" * 60_000)
    os.write(message, b"x" * 60_000)
    wait_until(lambda: "mess" in kinds(home))
    process.kill()
    process.wait(20)
    wait_until(lambda: files(home) == {})
    os.close(message)
    os.close(envelope)


@pytest.mark.parametrize("closed", ["0", "1"])
def test_a_closed_input_is_an_unreadable_one(home: Path, queued: Queued, closed: str) -> None:
    (home / "envelope").write_bytes(ENVELOPE)
    line = f"head -c 200000 /dev/zero | (exec {BIN}/qmail-queue 1<{home}/envelope {closed}<&-)"
    done = subprocess.run(["sh", "-c", line], env={"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin"}, timeout=20)
    assert done.returncode == 54
    assert files(home) == {}


def test_without_qmail_queued_it_fails_for_now(home: Path) -> None:
    assert qmail_queue(home, b"x\n").returncode == 56
    (home / "qq/socket").write_bytes(b"")
    assert qmail_queue(home, b"x\n").returncode == 56


def test_without_a_home_it_fails_for_now(home: Path) -> None:
    (home / "envelope").write_bytes(ENVELOPE)
    done = subprocess.run(
        ["sh", "-c", f"exec {BIN}/qmail-queue </dev/null 1<{home}/envelope"],
        env={"QMAIL_HOME": str(home / "none")},
        timeout=20,
    )
    assert done.returncode == 61
