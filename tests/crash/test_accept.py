"""Whatever a power cut leaves: accepted messages are there, whole, and under nobody else's name.

The real programs are recorded; after each of their steps every state that the strict model allows is
looked at. The numbers of states are printed; a failure names the step, and the way to its state.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, open_to_others, start_queued
from crash import accept_driver, recording
from crash.accept_driver import WORKLOADS
from crash.disk import Disk, Tree, rebuild, snapshot
from crash.exploring import SEED, effective_syncs, explore
from crash.recording import Event, Sent, Wrote
from submitting import Talk, files, message

ANSWER = re.compile(rb"R\0\0\0.0 (\d+)", re.DOTALL)
ORDER = re.compile(rb"todo/(\d+)\0")
MARK = re.compile(rb"message-(\d+)")


class Record:
    """One workload as recorded: what happened, and what was there before."""

    def __init__(self, home: Path, workload: str, output: Path, before: list[str]) -> None:
        self.queue = home / "queue"
        self.before = snapshot(self.queue)
        environment = {"QMAIL_HOME": str(home), "BIN": str(BIN), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        driver = [sys.executable, str(Path(__file__).parent / "accept_driver.py"), workload]
        self.said = subprocess.run(
            [*before, *recording.strace(output), *driver],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
            timeout=90,
        ).stdout
        self.events = recording.events(output, self.queue)
        # What each message is, as mess/N and as todo/N, by what was written in all to each file.
        contents: dict[int, bytes] = {}
        for event in self.events:
            if isinstance(event, Wrote):
                contents[event.file] = contents.get(event.file, b"") + event.data
        self.mess: dict[int, bytes] = {}
        self.todo: dict[int, bytes] = {}
        self.qp: dict[int, int] = {}
        for text in contents.values():
            if not (mark := MARK.search(text)):
                continue
            if text.startswith(b"u"):
                self.todo[int(mark[1])] = text
            else:
                self.mess[int(mark[1])] = text
                qp = re.match(rb"Received: \(qmail (\d+)", text)
                assert qp
                self.qp[int(qp[1])] = int(mark[1])

    def disk(self) -> Disk:
        """The disk before anything happened."""
        return Disk(os.fsencode(self.queue), *self.before)


def told(record: Record, event: Event, acked: set[int], done: set[int], disk: Disk) -> None:
    """Keep account of what was promised: `acked` messages, and those that were `done` with after it."""
    if not isinstance(event, Sent):
        return
    if answer := ANSWER.match(event.data):
        acked.add(record.qp[int(answer[1])])
    if order := ORDER.match(event.data):
        mark = MARK.search(disk.tree(tuple(disk.pending))[b"todo/" + order[1]])
        assert mark
        done.add(int(mark[1]))


def problems(record: Record, tree: Tree, acked: frozenset[int], done: frozenset[int]) -> Iterator[str]:
    """What is wrong with a state."""
    found = set()
    for path, envelope in tree.items():
        kind, _, number = path.partition(b"/")
        if kind != b"todo":
            continue
        mess = tree.get(b"mess/%d/%b" % (int(number) % 23, number))
        mark = MARK.search(envelope)
        if mark is None or envelope != record.todo.get(int(mark[1])):
            yield f"{path!r} is not a whole envelope"
        elif mess is None:
            # A message that was done with may come back in part; qmail-send finds no message and sets it aside.
            if int(mark[1]) not in done:
                yield f"{path!r} has no message"
        elif mess != record.mess[int(mark[1])]:
            yield f"{path!r} names the recipients of {mark[0]!r}, and mess/ has something else: {mess[:200]!r}"
        else:
            found.add(int(mark[1]))
    for lost in acked - done - found:
        yield f"message-{lost} was accepted and is lost"


State = tuple[str, Tree, frozenset[int], frozenset[int]]


def states(record: Record, events: list[Event], count: Counter[str], *, since: int = 0) -> Iterator[State]:
    """All different states: how each comes about, the tree, what was accepted by then, and what done with."""
    acked: set[int] = set()
    done: set[int] = set()

    def tell(event: Event, disk: Disk) -> None:
        told(record, event, acked, done, disk)

    def promised() -> tuple[frozenset[int], frozenset[int]]:
        return frozenset(acked), frozenset(done)

    for how, tree in explore(record.disk(), events, tell, promised, count, since=since):
        yield how, tree, *promised()


@pytest.fixture(scope="module", params=sorted(WORKLOADS))
def record(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Record:
    recording.check_available()
    tmp_path = open_to_others(tmp_path_factory.mktemp("crash"))
    place, before = tmp_path / "place", []
    if request.param == "reuse":
        if os.geteuid():
            pytest.skip("needs root, to mount a small file system")
        prepare = (sys.executable, accept_driver.__file__, "prepare", str(place / "home"))
        before = recording.on_small_disk(tmp_path / "image", place, *prepare)
    else:
        place.mkdir()
    accept_driver.prepare(place / "home")
    record = Record(place / "home", request.param, tmp_path / "strace", before)
    if before:
        assert record.said == b"1 numbers for 3 messages\n", "nothing would be proved"
    return record


def test_every_state_keeps_every_promise(record: Record) -> None:
    count: Counter[str] = Counter()
    for how, tree, acked, done in states(record, record.events, count):
        for problem in problems(record, tree, acked, done):
            pytest.fail(f"{how}: {problem}")
    print(f"{len(record.events)} steps, {count['made']} states, {count['different']} of them different")
    assert count["different"] > 30


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_without_any_one_sync_a_promise_is_broken(record: Record) -> None:
    """The checker finds what it is made to find: each sync is needed."""
    syncs = effective_syncs(record.disk(), record.events)
    assert len(syncs) > 2
    for at in syncs:
        found = states(record, record.events[:at] + record.events[at + 1 :], Counter(), since=at)
        assert any(next(problems(record, *state), None) for _how, *state in found), (
            f"step {at} ({record.events[at]}) can be left out, and nobody would notice"
        )


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_from_every_state_the_real_programs_go_on(record: Record, tmp_path: Path) -> None:
    """Forty hours later: leftovers go, what was accepted stays, and the next message comes in."""
    home = tmp_path / "home"
    accept_driver.prepare(home)
    trees = {
        frozenset(tree.items()): (how, tree, acked, done)
        for how, tree, acked, done in states(record, record.events, Counter())
    }
    chosen = random.Random(SEED).sample(sorted(trees.values(), key=lambda state: state[0]), min(len(trees), 200))
    print(f"{len(chosen)} of {len(trees)} different trees")
    with start_queued(home) as queued:
        talk = Talk(home)
        for how, tree, acked, done in chosen:
            rebuild(tree, home / "queue", age=40 * 3600, now=time.time())
            cleaned = subprocess.run(
                [str(BIN / "qmail-clean")], stdin=subprocess.DEVNULL, env={"QMAIL_HOME": str(home)}, timeout=20
            )
            assert cleaned.returncode == 0
            talk.say(message(b"next\n"))
            assert talk.answer()[0] == b"0", how
            after = files(home)
            new = next(name.split("/")[-1] for name, text in after.items() if text.endswith(b"\nnext\n"))
            left = {os.fsencode(name): text for name, text in after.items() if name.split("/")[-1] != new}
            assert not list(problems(record, left, acked, done)), how
            kinds = {name.split(b"/")[0] for name in left if b"todo/" + name.split(b"/")[-1] not in left}
            assert kinds <= {b"mess"}, f"{how}: {sorted(left)}"
            for name in after:
                (home / "queue" / name).unlink()
        queued.terminate()
        assert queued.wait(20) == 0
