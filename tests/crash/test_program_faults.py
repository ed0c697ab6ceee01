"""The programs that hand a message on, and end, when the system fails them at any call, or they are killed there.

Whatever happens: who was told that the message was taken has it taken, once, whole; who was told nothing, or that it
failed for now, keeps the message; nobody is told that it failed for good.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import figures
from conftest import BIN, needs_root, wait_until
from crash import recording, system_driver
from crash.exploring import SEED
from crash.injecting import ALL, ALWAYS, CALLS, NIGHTLY, injected, struck, visits
from crash.system_driver import FAR, TAG
from submitting import files, message

pytestmark = [needs_root, pytest.mark.prove, pytest.mark.timeout(3600 if ALL else 600)]

TEXT = b"Subject: message-0 %b\n\n" % TAG + b"message-0 %b\n" % TAG * 2000
LAST = b"Subject: last\n" * 6000  # it takes qmail-queued longer to read
ENVELOPE = b"Fmessage-0@far.example\0T%b\0\0" % FAR
WORDS = {
    "qmail-queue": [],
    "qmail-inject": ["-fmessage-0@far.example", FAR.decode()],
    "qmail-remote": ["far.example", "message-0@far.example", FAR.decode()],
}
FEW = 4  # visits with one of the rarer failures
MOST = 400  # calls of one kind


class Place:
    """A host with qmail-queued, and another host; one program is run again and again."""

    def __init__(self, top: Path, program: str) -> None:
        self.program, self.output = program, top / "strace"
        self.host = system_driver.prepare(top)
        self.sink = system_driver.connect(self.host)
        (top / "message").write_bytes(TEXT)
        (top / "envelope").write_bytes(ENVELOPE)
        self.top = top
        if program != "qmail-remote":
            system_driver.start_queued(self.host)

    def run(self, *before: str) -> tuple[int, bytes]:
        """Exit code, and what it says."""
        with (self.top / "message").open("rb") as text, (self.top / "envelope").open("rb") as envelope:
            done = subprocess.run(
                [*before, str(BIN / self.program), *WORDS[self.program]],
                stdin=text, stdout=envelope if self.program == "qmail-queue" else subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=self.host.environment | {"USER": "joe"}, timeout=60,
            )  # fmt: skip
        return done.returncode, done.stdout or b""

    def settle(self) -> None:
        """Wait until what was sent is taken, or is not going to be."""
        wait_until(lambda: not self.sink.busy)
        if self.program != "qmail-remote":
            # Who comes later, with more to say, is answered later; what came to nothing goes.
            system_driver.accept(self.host, message(LAST))
            queue = self.host.home / "queue"
            wait_until(
                lambda: {path.name for path in (queue / "mess").rglob("*/[0-9]*")} == set(os.listdir(queue / "todo"))
            )

    def taken(self) -> int:
        """How often the message is where it was to go, whole; and again it is nowhere."""
        found = [text for text, recipients in self.sink.taken if text.endswith(TEXT) and recipients == [FAR]]
        assert len(found) == len(self.sink.taken), "a message was changed"
        self.sink.taken.clear()
        queue = files(self.host.home)
        for name in queue:
            (self.host.home / "queue" / name).unlink(missing_ok=True)
        for number in [name.removeprefix("todo/") for name in queue if name.startswith("todo/")]:
            mess = queue[f"mess/{int(number) % 23}/{number}"]
            if mess.endswith(LAST):
                continue
            assert mess.endswith(TEXT if self.program == "qmail-queue" else TEXT.partition(b"\n")[2])
            assert queue[f"todo/{number}"].partition(b"F")[2] == ENVELOPE[1:-1]
            found.append(mess)
        return len(found)

    def told(self, code: int, said: bytes) -> bool:
        """Was somebody told that it was taken? Fails where it was told that it failed for good."""
        if self.program == "qmail-remote":
            # Recipient reports, then one on the message: r h s, K Z D (qmail-remote(8)).
            assert b"D" not in {report[:1] for report in said.split(b"\0")} and not said.startswith((b"h", b"D")), said
            return code == 0 and said.startswith(b"r") and b"\0K" in said
        # A signal, or what may pass (qmail-queue(8), qmail-inject(8)).
        assert code in (0, -9, 137) or code in (range(51, 82) if self.program == "qmail-queue" else (111,)), code
        return code == 0

    def visits(self, error: str) -> list[tuple[str, int]]:
        """The calls from the program's own first one on."""
        kinds = ",".join(f"?{call}" for calls in CALLS.values() for call in calls)
        self.run("strace", "-qq", "-o", str(self.output), "-e", f"trace={kinds}")
        assert self.taken() == 1
        return visits(self.output, error, since=str(self.host.home / "control") if WORDS[self.program] else "read(0")

    def visit(self, error: str, call: str, nth: int) -> bool:
        """Let one call go wrong. Returns whether there was such a call."""
        self.output.unlink(missing_ok=True)
        code, said = self.run(*struck(self.output, error, call, nth))
        met = code in (-9, 137) if error == "KILL" else injected(self.output)
        self.settle()
        told, taken = self.told(code, said), self.taken()
        # It may have been taken, and that could not be told.
        assert told <= taken <= 1, f"{call} {nth}: {code}, {said!r}, taken {taken} times"
        return met


@pytest.fixture(params=sorted(WORDS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    recording.check_available()
    place = Place(tmp_path, request.param)
    yield place
    place.host.stop()


def visit_all(place: Place, error: str) -> int:
    """Every call that this can happen to, until none is met any more; how many there were."""
    visited = 0
    first: dict[str, int] = {}
    for call, nth in place.visits(error):
        first.setdefault(call, nth)
    for call, begin in first.items():
        for nth in range(begin, begin + MOST):
            if not place.visit(error, call, nth):
                break
            visited += 1
        else:
            pytest.fail(f"{call}: no end")
    return visited


@pytest.mark.parametrize("error", ALWAYS)
def test_whatever_call_fails_nobody_is_told_what_is_not_true(
    place: Place, error: str, tell: Callable[[str], None]
) -> None:
    begin = time.monotonic()
    visited = visit_all(place, error)
    report(place, error, visited, visited, begin, tell)


def test_rarer_failures_make_nobody_say_what_is_not_true(place: Place, tell: Callable[[str], None]) -> None:
    for error in NIGHTLY:
        begin, found = time.monotonic(), place.visits(error)
        if ALL:
            met = visit_all(place, error)
        else:
            some = random.Random(f"{SEED} {place.program} {error}").sample(found, min(FEW, len(found)))
            met = sum(place.visit(error, call, nth) for call, nth in some)
        report(place, error, met if ALL else len(found), met, begin, tell)


def report(place: Place, error: str, total: int, run: int, begin: float, tell: Callable[[str], None]) -> None:
    """What was tried."""
    tell(f"{place.program}, a process, {error}: {total} calls, {run} of them went wrong; 0 lost")
    figures.record(
        "faults", program=place.program, workload="a process of its own", error=error, total=total, run=run, lost=0,
        damaged=0, seed=SEED, seconds=round(time.monotonic() - begin, 1),
    )  # fmt: skip
