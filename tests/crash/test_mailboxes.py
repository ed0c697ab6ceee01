"""Every call of qmail-local that changes a mailbox fails once, and is the last one once.

Whatever happens: a delivery that is reported as done is there, whole, once; one that is not leaves nothing, or,
where the process was killed, a message that is whole; and the next delivery finds a mailbox in order. Each call
is tried in turn until one is not reached any more, which proves that none was left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import figures
from conftest import BIN, needs_root
from crash import injecting
from crash.injecting import ALL
from qmail.host.processes import children
from sender import Sender

pytestmark = pytest.mark.prove

TEXT = b"Subject: t\n\n" + b"hello\n" * 30_000
LINES = b"Return-Path: <s@a>\nDelivered-To: joe@h\n"
CALLS = ("openat", "write", "writev", "fsync", "linkat", "unlink", "flock", "ftruncate", "newfstatat", "close")
RARER = [error for error in injecting.NIGHTLY if ALL or error != "ENOMEM"]  # a program that ends asks for little memory
FEW = 2  # calls of one kind, where only some are tried
MOST = 2000  # calls of one kind; the interpreter itself makes some hundred


class Place:
    """A user with both kinds of mailboxes."""

    def __init__(self, home: Path, top: Path) -> None:
        self.system, self.home, self.log = home, top / "joe", top / "log"
        self.message = top / "message"
        self.message.write_bytes(TEXT)

    def empty(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        for part in ("tmp", "new", "cur"):
            (self.home / "Maildir" / part).mkdir(parents=True)

    def deliver(self, to: str, *before: str) -> int:
        words = ["joe", str(self.home), "joe", "", "", "h", "s@a", to]
        environment = {"PATH": "/usr/bin:/bin", "QMAIL_HOME": str(self.system)}
        with open(self.message, "rb") as file:
            argv = [*before, str(BIN / "qmail-local"), *words]
            return subprocess.run(argv, stdin=file, capture_output=True, env=environment, timeout=60).returncode

    def copies(self, to: str) -> int:
        """How many whole messages are in the mailbox; anything else in it is a failure."""
        if to == "./Maildir/":
            found = [path.read_bytes() for path in (self.home / "Maildir/new").iterdir()]
            assert all(text == LINES + TEXT for text in found), "a message is there in part"
            return len(found)
        box = self.home / "Mailbox"
        text = box.read_bytes() if box.exists() else b""
        pieces = re.split(rb"(?m)^From s@a .*\n", text)
        # Cut off just before its last byte a message is whole: the next delivery adds the empty line.
        return sum(piece in (LINES + TEXT + b"\n", LINES + TEXT) for piece in pieces)

    def first(self, to: str, call: str) -> int:
        """The number of the first call of this kind on a mailbox; one that is never reached where there is none."""
        self.empty()
        self.deliver(to, "strace", "-y", "-qq", "-o", str(self.log), "-e", f"trace={call}")
        lines = [line for line in self.log.read_text().splitlines() if line.startswith(f"{call}(")]
        return next((at for at, line in enumerate(lines, 1) if "Mail" in line), MOST)


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Place:
    return Place(home, tmp_path)


def visited(place: Place, to: str, call: str, error: str) -> Iterator[int]:
    """The exit code with the first, second ... call struck, until none is reached."""
    # What can be short is counted from the start: nothing else is written to files.
    for number in range(1 if error == "SHORT" else place.first(to, call), MOST + 1):
        place.empty()
        place.log.unlink(missing_ok=True)
        code = place.deliver(to, *injecting.struck(place.log, error, call, number))
        if not injecting.injected(place.log) and code not in (137, -9):
            return
        yield code
    raise AssertionError("there is no end to it")


def check(place: Place, to: str, call: str, code: int) -> None:
    """It was delivered, or nothing of it is there; and the next one is."""
    assert code in (0, 111)
    assert place.copies(to) == (code == 0)
    if call != "unlink":
        assert not list((place.home / "Maildir/tmp").iterdir())
    assert place.deliver(to) == 0
    assert place.copies(to) == (code == 0) + 1


BOTH = pytest.mark.parametrize("to", ["./Maildir/", "./Mailbox"])


@BOTH
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_call_that_fails_defers_and_leaves_nothing_or_did_not_matter(
    place: Place, to: str, error: str, tell: Callable[[str], None]
) -> None:
    begin, met = time.monotonic(), 0
    for call in CALLS:
        if call in injecting.CALLS[error]:
            for code in visited(place, to, call, error):
                check(place, to, call, code)
                met += 1
    report(to, error, met, begin, tell)


@pytest.mark.timeout(3600 if ALL else 300)
@BOTH
@pytest.mark.parametrize("error", RARER)
def test_rarer_failures_defer_and_leave_nothing_either(
    place: Place, to: str, error: str, tell: Callable[[str], None]
) -> None:
    begin, met = time.monotonic(), 0
    for call in injecting.CALLS[error]:
        for count, code in enumerate(visited(place, to, call, error), 1):
            assert error != "SHORT" or code == 0
            check(place, to, call, code)
            met += 1
            if not ALL and count == FEW:
                break
    report(to, error, met, begin, tell)


@BOTH
def test_after_a_kill_at_any_call_the_mailbox_is_in_order_and_the_message_comes_again(
    place: Place, to: str, tell: Callable[[str], None]
) -> None:
    begin, met = time.monotonic(), 0
    for call in CALLS:
        for code in visited(place, to, call, "KILL"):
            assert code in (137, -9)
            before = place.copies(to)
            assert before <= 1
            assert place.deliver(to) == 0
            assert place.copies(to) == before + 1
            met += 1
    report(to, "KILL", met, begin, tell)


def report(to: str, error: str, met: int, begin: float, tell: Callable[[str], None]) -> None:
    """What was tried."""
    assert met, "nothing went wrong"
    tell(f"qmail-local, a process, {to}, {error}: {met} calls went wrong; 0 lost, 0 damaged")
    figures.record(
        "faults", program="qmail-local", workload=f"a process of its own, {to}", error=error, run=met, lost=0,
        damaged=0, seconds=round(time.monotonic() - begin, 1),
    )  # fmt: skip


@needs_root
@BOTH
@pytest.mark.parametrize("call", ["writev", "write", "fsync", "linkat", "unlink"])
def test_a_worker_whose_call_fails_defers_that_delivery_and_makes_the_next(
    home: Path, place: Place, to: str, call: str
) -> None:
    place.empty()
    os.chmod(place.home, 0o755)
    for path in (place.home, *place.home.rglob("*")):
        os.chown(path, 4242, 4242)
    (home / "users/assign").write_text(f"=joe:joe:4242:4242:{place.home}:::\n.\n")
    subprocess.run([BIN / "qmail-newu"], env={"QMAIL_HOME": str(home)}, check=True)
    sender = Sender(home, "qmail-lspawn", to)
    try:
        name = sender.message(1, TEXT)
        sender.order((0, name, b"s@a", b"joe@h"))
        assert sender.reports(1)[0] == b"Kdid 1+0+0\n"
        worker = str(_worker(sender.process.pid))
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when=1"]
        tracer = subprocess.Popen(["strace", "-o", str(place.log), *inject, "-p", worker], stderr=subprocess.PIPE)
        assert tracer.stderr and b"attached" in tracer.stderr.readline()
        sender.order((0, name, b"s@a", b"joe@h"))
        struck = sender.reports(1)[0]
        sender.order((0, name, b"s@a", b"joe@h"))
        assert sender.reports(1)[0] == b"Kdid 1+0+0\n"
        tracer.terminate()
        tracer.wait(10)
        reached = "INJECTED" in place.log.read_text()
        assert struck[:1] == (b"Z" if reached and call != "unlink" else b"K")
        assert place.copies(to) == 2 + (struck[:1] == b"K")
    finally:
        assert sender.end() == 0


def _worker(spawner: int) -> int:
    """The one worker below this spawner, which is a child of a child."""
    found = [pid for child in children(spawner) for pid in children(child)]
    assert len(found) == 1
    return found[0]
