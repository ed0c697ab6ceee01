"""qmail-queued when the system fails it, at every one of its calls, and when it is killed there.

strace makes the nth call fail; a loop ends when a whole run met no such call any more, which proves
that every call was visited.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import figures
from conftest import BIN, start_queued, wait_until
from crash import recording
from crash.exploring import SEED
from crash.injecting import ALL, NIGHTLY, Visit, failing, injected, visits, watched
from submitting import Talk, files, kinds, message

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

Work = Callable[[Path], list[bytes]]
STATE_CALLS = ("openat", "linkat", "unlink", "writev", "write", "fcntl", "fsync", "syncfs", "newfstatat", "fdatasync")
MOST = 200  # calls of one kind in one workload


def pid_of(home: Path) -> int:
    return int((home / "qq/lock").read_text().split()[0])


def one(home: Path) -> list[bytes]:
    """A small message."""
    return exchange(Talk(home), message(b"one\n"))


def large(home: Path) -> list[bytes]:
    """A message that is streamed, and written out in the middle."""
    return exchange(Talk(home), message(b"x" * 5_000_000))


def batch(home: Path) -> list[bytes]:
    """Three messages in one batch."""
    talks = [Talk(home) for _ in range(3)]
    os.kill(pid_of(home), signal.SIGSTOP)
    for talk in talks:
        talk.say(message(b"batch\n"))
    os.kill(pid_of(home), signal.SIGCONT)
    return [code for talk in talks for code in exchange(talk, b"")]


def exchange(talk: Talk, data: bytes) -> list[bytes]:
    """The code of the answer; none where there is no answer."""
    try:
        talk.say(data)
        return talk.answer()[:1]
    except OSError:
        return []
    finally:
        talk.close()


WORKLOADS: list[Work] = [one, large, batch]
ACCEPTABLE = (b"0", b"53", b"62", b"63", b"64", b"65", b"66")
FEW = 4  # calls for each of the rarer failures


def places(work: Work, call: str) -> Sequence[int]:
    """Which calls of a kind are tried: all. A large message is read and written in pieces, one like the other."""
    alike = work is large and call in ("read", "writev") and not ALL
    return [*range(1, 4), *range(4, MOST, 16)] if alike else range(1, MOST)


def wipe(home: Path) -> None:
    for name in files(home):
        (home / "queue" / name).unlink()


def check_whole(home: Path, codes: list[bytes], *, linked_too: bool) -> None:
    """Everything in todo/ is whole; what was accepted is there, and nothing else unless it was linked already."""
    queue = files(home)
    todo = [name.split("/")[1] for name in queue if name.startswith("todo/")]
    for number in todo:
        assert re.fullmatch(rb"u\d+\0p\d+\0Fa@b.example\0Tc@d.example\0", queue[f"todo/{number}"])
        mess = queue[f"mess/{int(number) % 23}/{number}"].partition(b"\n")[2]
        assert mess in (b"one\n", b"batch\n", b"x" * 5_000_000)
    assert len(todo) >= codes.count(b"0")
    if not linked_too:
        assert len(todo) == codes.count(b"0")


class Place:
    """A qmail-queued, and what becomes of the messages it is given."""

    def __init__(self, home: Path, work: Work, output: Path) -> None:
        recording.check_available()
        self.home, self.work, self.output = home, work, output
        self.queued = start_queued(home)

    def visits(self, error: str) -> list[Visit]:
        """The calls that this can happen to."""
        with watched(self.queued.pid, self.output):
            self.work(self.home)
        return visits(self.output, error)

    def visit(self, error: str, call: str, nth: int) -> bool:
        """Let one call go wrong: nothing is lost, and the next message comes in. False where there is no such call."""
        wipe(self.home)
        self.output.unlink(missing_ok=True)
        with failing(self.queued.pid, self.output, error, call, nth):
            codes = self.work(self.home)
        if not injected(self.output):
            return False
        if self.queued.poll() is not None:
            assert error == "ENOMEM", f"{call} {nth}: it died"
            self.queued = start_queued(self.home)
        check_whole(self.home, codes, linked_too=call not in ("linkat", "unlink", "newfstatat", "fcntl"))
        for code in codes:
            assert code in ACCEPTABLE, f"{call} {nth}: {code!r}"
            assert error not in ("ENOSPC", "EDQUOT") or code in (b"0", b"53"), f"{call} {nth}: {code!r}"
            assert error != "SHORT" or code == b"0", f"{call} {nth}: {code!r}"
        left = [kind for kind in kinds(self.home) if kind not in ("todo", "mess", "intd")]
        assert not left or call == "unlink", f"{call} {nth}: {left}"
        wipe(self.home)
        wait_until(lambda: exchange(Talk(self.home), message(b"one\n")) == [b"0"])
        return True

    def visit_all(self, error: str) -> int:
        """Until none is met any more. Returns how many there were."""
        visited = 0
        for call in dict(self.visits(error)):
            for nth in places(self.work, call):
                if not self.visit(error, call, nth):
                    break
                visited += 1
            else:
                pytest.fail(f"{call}: no end")
        return visited

    def end(self) -> None:
        """No more."""
        self.queued.terminate()
        assert self.queued.wait(20) == 0


@pytest.mark.parametrize("work", WORKLOADS, ids=lambda work: work.__name__)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_whatever_call_fails_nothing_is_lost_and_the_next_message_comes_in(
    home: Path, tmp_path: Path, work: Work, error: str, tell: Callable[[str], None]
) -> None:
    begin, place = time.monotonic(), Place(home, work, tmp_path / "strace")
    visited = place.visit_all(error)
    place.end()
    assert visited > 10
    report(work, error, visited, visited, begin, tell)


@pytest.mark.parametrize("work", WORKLOADS if ALL else WORKLOADS[:1], ids=lambda work: work.__name__)
def test_rarer_failures_lose_nothing_either(
    home: Path, tmp_path: Path, work: Work, tell: Callable[[str], None]
) -> None:
    place = Place(home, work, tmp_path / "strace")
    for error in NIGHTLY:
        begin, found = time.monotonic(), place.visits(error)
        if ALL:
            met = place.visit_all(error)
        else:
            some = random.Random(f"{SEED} {error}").sample(found, min(FEW, len(found)))
            met = sum(place.visit(error, call, nth) for call, nth in some)
        report(work, error, met if ALL else len(found), met, begin, tell)
    place.end()


def report(work: Work, error: str, total: int, run: int, begin: float, tell: Callable[[str], None]) -> None:
    """What was tried."""
    tell(f"qmail-queued, {work.__name__}, {error}: {total} calls, {run} of them went wrong; 0 lost")
    figures.record(
        "faults", program="qmail-queued", workload=work.__name__, error=error, total=total, run=run, lost=0, damaged=0,
        seed=SEED, seconds=round(time.monotonic() - begin, 1),
    )  # fmt: skip


@pytest.mark.parametrize("work", WORKLOADS, ids=lambda work: work.__name__)
def test_wherever_it_is_killed_the_next_one_goes_on(
    home: Path, tmp_path: Path, work: Work, tell: Callable[[str], None]
) -> None:
    recording.check_available()
    begin, visited = time.monotonic(), 0
    for call in STATE_CALLS:
        for nth in places(work, call):
            wipe(home)
            with start_queued(home) as queued:
                output = tmp_path / "strace"
                with failing(queued.pid, output, "KILL", call, nth):
                    codes = work(home)
                died = queued.poll() is not None
                if died:
                    check_whole(home, codes, linked_too=True)
                else:
                    queued.terminate()
                    assert queued.wait(20) == 0
            if not died:
                break
            visited += 1
            # Forty hours later, after a restart:
            for name in files(home):
                when = time.time() - 40 * 3600
                os.utime(home / "queue" / name, (when, when))
            before = {name for name in files(home) if name.startswith("todo/")}
            subprocess.run(
                [str(BIN / "qmail-clean")], stdin=subprocess.DEVNULL, env={"QMAIL_HOME": str(home)}, check=True
            )
            left = files(home)
            assert {name for name in left if name.startswith("todo/")} == before
            assert not [name for name in left if name.startswith("pid/")]
            assert not [name for name in left if name.startswith("intd/") and name.replace("intd", "todo") not in left]
        else:
            pytest.fail(f"{call}: no end")
    assert visited > 10
    report(work, "KILL", visited, visited, begin, tell)
