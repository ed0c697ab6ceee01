"""The cost of a message does not grow with what else waits: counted in system calls and bytes, never in seconds."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import wait_until
from sending import Sending

WAITING = 5000
MESSAGES = 20
BIG = 100_000  # recipients


@pytest.fixture
def system(home: Path) -> Iterator[Sending]:
    sending = Sending(home)
    yield sending
    sending.close()


def fill(system: Sending, count: int) -> None:
    """So many messages for a destination that stalls, all of them due."""
    for number in range(1_000_000, 1_000_000 + count):
        system.put("mess", number, b"Subject: t\n\nhello\n")
        system.put("info", number, b"Fs@x\0", age=100)
        system.put("remote", number, b"Thold%d@dead.example\0" % number, age=10)


def settled(system: Sending) -> None:
    """Until qmail-send reads nothing more."""

    def reads() -> str:
        return Path(f"/proc/{system.pid}/io").read_text()

    def quiet() -> bool:
        before = reads()
        time.sleep(0.3)
        return reads() == before

    wait_until(quiet, 60)


def calls(system: Sending, host: str, since: int) -> int:
    """How many system calls of qmail-send some fresh messages for this host take."""
    counts = system.home.parent / "counts"
    strace = subprocess.Popen(
        [shutil.which("strace") or "strace", "-f", "-c", "-o", counts, "-p", str(system.pid)], stderr=subprocess.PIPE
    )
    assert strace.stderr is not None
    assert b"attached" in strace.stderr.readline()
    ends = len(re.findall("^end msg", system.text(), re.M))
    for number in range(MESSAGES):
        system.submit("s@x", [f"good{since + number}@{host}"])
        system.wait("^end msg", ends + number + 1)
    strace.send_signal(signal.SIGINT)
    strace.wait(20)
    (total,) = re.findall(r"^100\.00 .* (\d+) +(?:\d+ )?total$", counts.read_text(), re.M)
    return int(total)


@pytest.mark.prove
def test_five_thousand_messages_that_wait_cost_a_fresh_one_no_system_call(system: Sending) -> None:
    system.start()
    alone = calls(system, "good.example", 0)
    assert system.stop() == 0
    fill(system, WAITING)
    system.start()
    system.wait("to remote hold\\d+@dead.example$", 5)
    settled(system)
    beside = calls(system, "good.example", 100)
    print(f"{alone} calls for {MESSAGES} messages alone, {beside} beside {WAITING} others")
    assert beside < 2 * alone + 10 * MESSAGES, f"{alone} calls for {MESSAGES} messages alone, {beside} beside others"
    assert len(re.findall("to remote hold", system.text())) == 5
    system.signal(signal.SIGALRM)
    settled(system)
    again = calls(system, "good.example", 200)
    assert again < 2 * alone + 10 * MESSAGES


def _memory(pid: int) -> int:
    """The most memory that it ever had, in KiB."""
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(peak)


@pytest.mark.prove
def test_a_hundred_thousand_recipients_of_one_message_take_little_memory(system: Sending) -> None:
    system.start()
    settled(system)
    before = _memory(system.pid)
    names = [f"hold{number}@dead.example" for number in range(BIG - 1000)]
    names += [f"good{number}@h{number % 100}.example" for number in range(1000)]
    system.put("mess", 1_000_000, b"Subject: t\n\nhello\n")
    system.put("todo", 1_000_000, b"u1\0p1\0Fs@x\0" + b"".join(b"T%b\0" % name.encode() for name in names))
    (system.queue / "lock" / "trigger").write_bytes(b"x")
    deadline = time.monotonic() + 120
    while system.text().count(": success: ") < 1000:
        assert time.monotonic() < deadline, system.text()[-2000:]
        time.sleep(0.1)
    grown = _memory(system.pid) - before
    print(f"{grown} KiB for {BIG} recipients")
    assert grown < 64 * 1024
    assert system.text().count("@dead.example\n") == 5
    assert system.file("remote").read_bytes().count(b"\0D") == 1000
    os.kill(system.pid, signal.SIGKILL)
    system.ended()
