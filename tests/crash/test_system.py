"""A whole system, and the power goes: nothing accepted is lost, and nobody gets another one's mail.

qmail-queued, qmail-send, qmail-clean, the spawners and qmail-local are recorded together, from the
acceptance of messages to their Maildirs; after each of their steps every state that the strict model
allows is looked at, and from some of them the real system is started again.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import open_to_others
from crash import recording, system_driver
from crash.disk import Disk, Tree, rebuild, snapshot
from crash.exploring import SEED, effective_syncs, explore
from crash.judge import Mail, Name, State, problems
from crash.recording import Event, Opened, Sent
from journeys.conftest import Host, eventually
from qmail.formats.bounce import DOUBLE

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

ANSWER = re.compile(rb"R\0\0\0.0 (\d+)", re.DOTALL)
FAILED = re.compile(rb"/queue/bounce/(\d+)$")
RESTARTS = 40  # states from which the real system goes on


Moment = tuple[str, Tree, frozenset[Name]]


class Record:
    """One workload as recorded."""

    def __init__(self, top: Path, workload: str, output: Path, before: list[str]) -> None:
        self.top, self.workload = top, workload
        system_driver.prepare(top)
        places = system_driver.places(top)
        self.before = snapshot(top, *places)
        driver = [sys.executable, system_driver.__file__, str(top), workload]
        self.said = subprocess.run(
            [*before, *recording.strace(output), *driver], stdout=subprocess.PIPE, check=True, timeout=100
        ).stdout
        self.events = recording.events(output, *places)
        self.mail = Mail(self.events)

    def states(
        self, events: list[Event], count: Counter[str], *, chance: int = 20, since: int = 0
    ) -> Iterator[tuple[str, Tree, frozenset[Name]]]:
        """All different states after steps from `since` on, and what was acknowledged by then."""
        acknowledged: set[Name] = set()

        def tell(event: Event, disk: Disk) -> None:
            if isinstance(event, Sent) and (answer := ANSWER.match(event.data)):
                acknowledged.add(self.mail.by_qp[int(answer[1])])
            elif isinstance(event, Opened) and (failed := FAILED.search(event.path)):
                number = int(failed[1])
                live = disk.tree(tuple(disk.pending))
                name = self.mail.name(live[b"home/queue/mess/%d/%d" % (number % 23, number)])
                if name is not None and self.mail.envelope(name).sender == DOUBLE:
                    acknowledged.discard(name)  # nobody is to be told, and it may go at any time

        def account() -> frozenset[Name]:
            return frozenset(acknowledged)

        for how, tree in explore(self.disk(), events, tell, account, count, chance=chance, since=since):
            yield how, tree, account()

    def disk(self) -> Disk:
        """The disk before anything happened."""
        return Disk(bytes(self.top), *self.before)


@pytest.fixture(scope="module", params=sorted(system_driver.WORKLOADS))
def record(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Record:
    recording.check_available()
    place = open_to_others(tmp_path_factory.mktemp("system"))
    top, before = place / "top", []
    if request.param == "renumbered":
        if os.geteuid():
            pytest.skip("needs root, to mount a small file system")
        before = recording.on_small_disk(
            place / "image", top, sys.executable, system_driver.__file__, str(top), "prepare"
        )
    else:
        top.mkdir()
    record = Record(top, request.param, place / "strace", before)
    if before:
        assert record.said == b"1 numbers for 3 messages\n", "nothing would be proved"
    return record


def test_every_state_keeps_every_promise(record: Record) -> None:
    count: Counter[str] = Counter()
    for how, tree, acknowledged in record.states(record.events, count):
        for problem in problems(State(tree, record.mail), acknowledged):
            pytest.fail(f"{how}: {problem}")
    print(
        f"{record.workload}: {len(record.events)} steps, {count['made']} states, {count['different']} of them different"
    )
    assert count["different"] > 100


def test_the_syncs_that_can_be_left_out_are_known(record: Record) -> None:
    """Each sync is taken out in turn. Those that nobody misses are told: they guard what this workload does not do."""
    syncs = effective_syncs(record.disk(), record.events)
    missed, idle = 0, []
    for at in syncs:
        found = record.states(record.events[:at] + record.events[at + 1 :], Counter(), chance=10, since=at)
        if any(next(problems(State(tree, record.mail), acknowledged), None) for _, tree, acknowledged in found):
            missed += 1
        else:
            idle.append(str(record.events[at]).replace(str(record.top), ""))
    print(f"{record.workload}: {missed} of {len(syncs)} syncs are missed; not: {idle}")
    assert missed >= 6


def test_from_every_state_the_real_system_goes_on(record: Record, tmp_path: Path) -> None:
    """Forty hours later it is started again: everything acknowledged arrives, at most twice, and the queue empties."""
    host = system_driver.prepare(tmp_path)
    places = system_driver.places(tmp_path)
    empty = snapshot(tmp_path, *places)[0]
    trees = {
        frozenset(tree.items()): (how, tree, acknowledged)
        for how, tree, acknowledged in record.states(record.events, Counter(), chance=10)
    }
    chosen = random.Random(SEED).sample(sorted(trees.values(), key=lambda one: one[0]), min(len(trees), RESTARTS))
    print(f"{record.workload}: {len(chosen)} of {len(trees)} different trees")
    for moment in chosen:
        for path in snapshot(tmp_path, *places)[0].keys() - empty.keys():
            (tmp_path / path.decode()).unlink()
        rebuild(moment[1], tmp_path, age=40 * 3600, now=time.time())
        host.users[1].file("ready", "")
        (host.home / "send.log").unlink(missing_ok=True)
        go_on(host, moment, lambda: State(snapshot(tmp_path, *places)[0], record.mail))


def go_on(host: Host, moment: Moment, look: Callable[[], State]) -> None:
    """Start the real system on a state, and see that it keeps what was promised at that moment."""
    how, _tree, acknowledged = moment

    def settled() -> bool:
        waiting = set[bytes]().union(*look().waiting.values())
        return all(recipient.endswith(b"@far.example") for recipient in waiting)

    system_driver.start(host)
    system_driver.try_again(host, settled)
    eventually(f"{how}: no leftovers", lambda: not look().orphans(), lambda: str(look().orphans()))
    assert host.services["send"].poll() is None
    host.stop()
    state = look()
    assert not list(problems(state, acknowledged)), f"{how}\n{host.log()}"
    # A bounce that is made once more after the crash is a message of its own.
    assert max(state.copies.values(), default=0) <= 2, f"{how}\n{host.log()}"
    assert host.log().count("\n") < 300, f"{how}: the log is flooded"
