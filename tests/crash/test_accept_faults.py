"""qmail-queued when the system fails it, at every one of its calls, and when it is killed there.

strace makes the nth call fail; a loop ends when a whole run met no such call any more, which proves
that every call was visited.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BIN, start_queued, wait_until
from crash import recording
from crash.injecting import failing, injected
from submitting import Talk, files, kinds, message

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

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


WORKLOADS: list[Callable[[Path], list[bytes]]] = [one, large, batch]


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


@pytest.mark.parametrize("work", WORKLOADS, ids=lambda work: work.__name__)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EMFILE"])
def test_whatever_call_fails_nothing_is_lost_and_the_next_message_comes_in(
    home: Path, queued: subprocess.Popen[bytes], tmp_path: Path, work: Callable[[Path], list[bytes]], error: str
) -> None:
    recording.check_available()
    visited = 0
    for call in STATE_CALLS:
        for nth in range(1, MOST):
            wipe(home)
            output = tmp_path / "strace"
            with failing(queued.pid, output, call, f"error={error}", nth):
                codes = work(home)
            if not injected(output):
                break
            visited += 1
            assert queued.poll() is None, f"{call} {nth}: it died"
            failed_todo = call == "fsync" or call == "write" or call == "openat"
            check_whole(home, codes, linked_too=failed_todo)
            for code in codes:
                assert code in (b"0", b"53", b"62", b"63", b"64", b"65", b"66"), f"{call} {nth}: {code!r}"
                assert error != "ENOSPC" or code in (b"0", b"53"), f"{call} {nth}: {code!r}"
            left = [kind for kind in kinds(home) if kind not in ("todo", "mess", "intd")]
            assert not left or call == "unlink", f"{call} {nth}: {left}"
            wipe(home)
            wait_until(lambda: exchange(Talk(home), message(b"one\n")) == [b"0"])
        else:
            pytest.fail(f"{call}: no end")
    print(f"{visited} calls failed with {error}")
    assert visited > 10


@pytest.mark.parametrize("work", WORKLOADS, ids=lambda work: work.__name__)
def test_wherever_it_is_killed_the_next_one_goes_on(
    home: Path, tmp_path: Path, work: Callable[[Path], list[bytes]]
) -> None:
    recording.check_available()
    visited = 0
    for call in STATE_CALLS:
        for nth in range(1, MOST):
            wipe(home)
            with start_queued(home) as queued:
                output = tmp_path / "strace"
                with failing(queued.pid, output, call, "signal=KILL", nth):
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
    print(f"killed at {visited} calls")
    assert visited > 10
