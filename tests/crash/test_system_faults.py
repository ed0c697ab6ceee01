"""Every program of a running system when the system fails it, at every one of its calls, and when it is killed there.

One message passes through everything: into a Maildir and an mbox, to another host, to one who is deferred and one who
does not exist. Whatever fails, each gets it or the sender hears of it, and nobody more than twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import figures
from conftest import needs_root
from crash import recording
from crash.exploring import SEED
from crash.faulty import System, is_dead
from crash.injecting import ALL, ALWAYS, NIGHTLY, failing, injected, visits, watched

pytestmark = [needs_root, pytest.mark.prove, pytest.mark.timeout(3600 if ALL else 600)]

PROGRAMS = ("qmail-send", "qmail-clean", "qmail-lspawn", "qmail-local", "qmail-rspawn", "qmail-remote")
FEW = 2  # visits of one program with one error, where only some are tried
MOST = 400  # calls of one kind


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    recording.check_available()
    system = System(tmp_path)
    system.start()
    yield system
    system.host.stop()


def visit(system: System, program: str, error: str, call: str, nth: int, output: Path) -> bool:
    """Let one call go wrong; and all must end well. Returns whether there was such a call."""
    system.wipe()
    system.start()
    pid = system.pid(program)
    output.unlink(missing_ok=True)

    def met() -> bool:
        return is_dead(pid) if error == "KILL" else injected(output)

    # Children of the spawners are programs of their own.
    with failing(pid, output, error, call, nth, children=program in ("qmail-send", "qmail-clean")):
        system.pass_through(met)
    went_wrong = met()
    if not system.live() and not system.outcome():
        assert system.hand_over(), "it was not taken, and is not now"
    system.finish()
    return went_wrong


def recorded(system: System, program: str, output: Path) -> Path:
    """What a program calls while the message passes."""
    with watched(system.pid(program), output):
        system.pass_through(lambda: False)
    system.finish()
    return output


def visit_all(system: System, program: str, error: str, kinds: Iterable[str], output: Path) -> int:
    """Let every call of these kinds go wrong, until none is met any more. Returns how many there were."""
    visited = 0
    for call in kinds:
        for nth in range(1, MOST):
            if not visit(system, program, error, call, nth, output):
                break
            visited += 1
        else:
            pytest.fail(f"{call}: no end")
    return visited


@pytest.mark.parametrize("error", ALWAYS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_whatever_call_fails_the_message_reaches_everybody(
    system: System, tmp_path: Path, program: str, error: str, tell: Callable[[str], None]
) -> None:
    begin = time.monotonic()
    kinds = dict(visits(recorded(system, program, tmp_path / "recorded"), error))
    visited = visit_all(system, program, error, kinds, tmp_path / "strace")
    assert visited >= 1
    report(program, error, visited, visited, begin, tell)


@pytest.mark.parametrize("program", PROGRAMS)
def test_rarer_failures_of_calls_are_survived_too(
    system: System, tmp_path: Path, program: str, tell: Callable[[str], None]
) -> None:
    recording, output = recorded(system, program, tmp_path / "recorded"), tmp_path / "strace"
    for error in NIGHTLY:
        begin, found = time.monotonic(), visits(recording, error)
        if ALL:
            met = visit_all(system, program, error, dict(found), output)
        else:
            some = random.Random(f"{SEED} {program} {error}").sample(found, min(FEW, len(found)))
            met = sum(visit(system, program, error, call, nth, output) for call, nth in some)
        report(program, error, met if ALL else len(found), met, begin, tell)


def report(program: str, error: str, total: int, run: int, begin: float, tell: Callable[[str], None]) -> None:
    """What was tried."""
    tell(f"{program}, {error}: {total} calls, {run} of them went wrong; 0 lost, nobody more than twice")
    figures.record(
        "faults", program=program, error=error, total=total, run=run, lost=0, damaged=0, seed=SEED,
        seconds=round(time.monotonic() - begin, 1),
    )  # fmt: skip
