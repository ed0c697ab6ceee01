"""qmail-clean: it removes what it is told to, answers in order, and takes what dead writers left."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import BIN, wait_until
from submitting import files

HOURS = 3600


def put(home: Path, name: str, hours: float = 0) -> Path:
    path = home / "queue" / name
    path.write_bytes(b"x")
    when = time.time() - hours * HOURS
    os.utime(path, (when, when))
    return path


def clean(home: Path, orders: bytes) -> bytes:
    done = subprocess.run(
        [str(BIN / "qmail-clean")], input=orders, capture_output=True, env={"QMAIL_HOME": str(home)}, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


# Starts qmail-clean as qmail-send would, says which pid it has, and lives until it is killed.
SENDER = """
import subprocess, sys
clean = subprocess.Popen([sys.argv[1]], stdin=int(sys.argv[2]), stdout=int(sys.argv[3]))
print(clean.pid, flush=True)
clean.wait()
"""


def test_what_a_qmail_send_has_ordered_that_is_gone_is_not_done(home: Path) -> None:
    """The next one may be done with the message, and its number may be a new one's, before an old order is read."""
    for name in ALL:
        put(home, name)
    (orders, order), (answer, answers) = os.pipe(), os.pipe()
    sender = subprocess.Popen(
        [sys.executable, "-c", SENDER, BIN / "qmail-clean", str(orders), str(answers)], stdout=subprocess.PIPE,
        env={"QMAIL_HOME": str(home)}, pass_fds=(orders, answers),
    )  # fmt: skip
    assert sender.stdout is not None
    pid = int(sender.stdout.readline())
    os.close(orders)
    os.close(answers)
    os.write(order, b"todo/48\0")
    assert os.read(answer, 10) == b"+"
    os.kill(pid, signal.SIGSTOP)
    os.write(order, b"todo/46\0foop/46\0")
    sender.kill()
    sender.wait()
    sender.stdout.close()
    os.kill(pid, signal.SIGCONT)
    assert os.read(answer, 10) == b""
    assert set(files(home)) == set(ALL)
    os.close(order)
    os.close(answer)


ALL = ("intd/46", "mess/0/46", "mess/1/47", "todo/46")


@pytest.mark.parametrize(
    ("orders", "answers", "left"),
    [
        (b"todo/46\0", b"+", {"mess/0/46", "mess/1/47"}),
        (b"foop/46\0", b"+", {"todo/46", "mess/1/47"}),
        (b"todo/46\0foop/46\0foop/46\0foop/47\0", b"++++", set()),
        (b"todo/48\0", b"+", set(ALL)),
        (b"foop/\0mess/46\0foop/4x\0foop/-1\0\0FOOP/46\0 foop/46\0foop/46 \0", b"xxxxxxxx", set(ALL)),
        (b"foop/" + b"4" * 95 + b"\0foop/" + b"4" * 5000 + b"\0", b"xx", set(ALL)),
        (b"foop/" + b"4" * 94 + b"\0", b"+", set(ALL)),
        (b"foop/46", b"", set(ALL)),
        (b"", b"", set(ALL)),
    ],
    ids=["todo", "foop", "pipelined", "gone", "unknown", "too-long", "long", "unfinished", "none"],
)
def test_orders_are_obeyed_and_answered_in_order(home: Path, orders: bytes, answers: bytes, left: set[str]) -> None:
    for name in ALL:
        put(home, name)
    assert clean(home, orders) == answers
    assert set(files(home)) == left


def test_what_cannot_be_removed_is_told(home: Path) -> None:
    (home / "queue/mess/0/46").mkdir()
    assert clean(home, b"foop/46\0foop/47\0") == b"!+"


def test_an_order_in_single_bytes_is_one_order(home: Path) -> None:
    put(home, "mess/0/46")
    process = subprocess.Popen(
        [str(BIN / "qmail-clean")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"QMAIL_HOME": str(home)}, bufsize=0,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    for byte in b"foop/46\0":
        process.stdin.write(bytes([byte]))
    assert process.stdout.read(1) == b"+"
    process.stdin.close()
    assert process.wait(20) == 0
    assert files(home) == {}


def test_old_files_of_dead_writers_go(home: Path) -> None:
    put(home, "pid/1.2.3", hours=37)
    put(home, "pid/4.5.6", hours=35)
    put(home, "intd/46", hours=37)
    put(home, "intd/47", hours=37)
    put(home, "todo/47", hours=37)
    put(home, "intd/48", hours=35)
    put(home, "mess/0/46", hours=37)
    clean(home, b"")
    assert set(files(home)) == {"pid/4.5.6", "intd/47", "todo/47", "intd/48", "mess/0/46"}


def test_what_a_living_writer_holds_stays_however_old_the_clock_says_it_is(home: Path) -> None:
    put(home, "intd/46", hours=100)
    names = ("mess/0/46", "pid/1.2.3")
    held = [os.open(put(home, name, hours=100), os.O_RDWR) for name in names]
    import struct

    for descriptor in held:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    clean(home, b"")
    assert set(files(home)) == {"intd/46", *names}
    for descriptor in held:
        os.close(descriptor)
    clean(home, b"")
    assert set(files(home)) == {"mess/0/46"}


def test_it_ends_when_nobody_reads_its_answers(home: Path) -> None:
    process = subprocess.Popen(
        [str(BIN / "qmail-clean")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"QMAIL_HOME": str(home)}, bufsize=0,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    process.stdout.close()
    process.stdin.write(b"foop/46\0")
    wait_until(lambda: process.poll() is not None)
    assert process.returncode == 111
    process.stdin.close()
