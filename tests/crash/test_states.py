"""The power goes, or every process is killed, at any moment: nothing accepted is lost, nobody gets another one's mail.

The real programs are recorded, from the acceptance of messages to their mailboxes, and after each of their steps
every state is made that a kind of disk allows (`models`). Each is judged by what is in it; then the real system is
started on it, forty hours later, and must bring everything to its end. Of acceptance, first attempt and the end of a
message every strict state is started; of all else a seeded choice, or, where PYQMAIL_PROVE is `all`, everything.
"""

from __future__ import annotations

import os
import pickle
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import figures
from crash.exploring import SEED
from crash.healing import Wrong, heal
from crash.judge import problems
from crash.models import MODELS
from crash.recorded import Moment, Record

ALL = os.environ.get("PYQMAIL_PROVE") == "all"
STARTED = {"strict": 260, "ext4": 50, "ext4 on two disks": 50, "kill": 50}  # of each workload; 2,000 in all, and more
PROOFS = {"accept": "acceptance", "mailbox": "mailboxes"}


def judged(record: Record, model: str) -> tuple[list[Moment], Counter[str]]:
    """Every different state of a model; and counts. Fails where one breaks a promise as it is."""
    count: Counter[str] = Counter()
    moments = []
    for moment in record.moments(model, count, chance=30 if ALL else 20):
        state = moment.state(record.mail)
        for problem in problems(state, moment.promised.acknowledged):
            pytest.fail(f"{again([moment], record)}\n{moment.how}: {problem}")
        count.update({f"twice: {window}" for window, _ in state.windows(moment.promised.acknowledged)})
        count["torn in an mbox"] += bool(state.pieces)
        moments.append(moment)
    return moments, count


def chosen(moments: list[Moment], record: Record, model: str) -> list[Moment]:
    """Those that the real system is started on."""
    if ALL or (model == "strict" and record.part != "rest"):
        return moments
    return random.Random(SEED).sample(moments, min(STARTED[model], len(moments)))


def again(moments: list[Moment], record: Record) -> str:
    """Keep these in a file, and say how they are looked at once more."""
    number, path = tempfile.mkstemp(prefix="pyqmail-state-")
    with open(number, "wb") as file:
        file.write(pickle.dumps((moments, record.mail)))
    return f"once more: .venv/bin/python tests/crash/again.py {path}"


@pytest.mark.parametrize("record", ["one_by_one", "batch", "reuse"], indirect=True)
def test_every_strict_state_of_acceptance_keeps_every_promise(record: Record) -> None:
    _, count = judged(record, "strict")
    assert count["different"] > 30


@pytest.mark.parametrize("record", ["one_by_one"], indirect=True)
def test_what_a_state_has_lost_is_found_when_the_system_is_started_on_it(record: Record, tmp_path: Path) -> None:
    whole = list(record.moments())[-1]
    lost = {path: text for path, text in whole.tree.items() if b"/todo/" not in path}
    torn = {path: text[:120] if b"/mess/" in path else text for path, text in whole.tree.items()}
    to_ann = {path: text.replace(b"Tjoe@", b"Tann@") for path, text in whole.tree.items()}
    moments = [whole, *(Moment("spoiled", tree, whole.promised) for tree in (lost, torn, to_ann))]
    found = [{kind for kind, _ in wrongs} for wrongs in heal(moments, record.mail, tmp_path)]
    assert found == [set(), {"lost"}, {"lost", "damaged"}, {"lost", "wrong"}]


@pytest.mark.prove
@pytest.mark.timeout(3000 if ALL else 300)
def test_every_state_keeps_every_promise(record: Record, tmp_path: Path, tell: Callable[[str], None]) -> None:
    begin = time.monotonic()
    rows, started = [], list[Moment]()
    for model in MODELS:
        moments, count = judged(record, model)
        some = chosen(moments, record, model)
        rows.append((model, count, len(some)))
        started += map(record.with_more, some)
    check(started, heal(started, record.mail, tmp_path), record)
    spent = round((time.monotonic() - begin) / len(rows), 1)
    for model, count, restarted in rows:
        twice = {key.removeprefix("twice: "): times for key, times in count.items() if key.startswith("twice: ")}
        tell(
            f"{record.workload}, {model}: {len(record.events)} steps, {count['made']} states, {count['different']} "
            f"different, {restarted} of them started; 0 lost, 0 damaged, 0 orphans, 0 to the wrong person; may come "
            f"twice: {twice}"
        )
        figures.record(
            PROOFS.get(record.part, "system"), model=model, workload=record.workload,
            total=count["made"], run=count["different"], restarted=restarted, lost=0, damaged=0, orphans=0, wrong=0,
            duplicates=twice, torn=count["torn in an mbox"], seed=SEED, seconds=spent,
        )  # fmt: skip


def check(moments: list[Moment], wrongs: list[list[Wrong]], record: Record) -> None:
    """Fail where a state has come to a bad end."""
    bad = [(moment, wrong) for moment, wrong in zip(moments, wrongs, strict=True) if wrong]
    kinds = Counter(kind for _, wrong in bad for kind, _ in wrong)
    if bad:
        shown = "\n".join(f"{moment.how}: {wrong[0]}" for moment, wrong in bad[:5])
        pytest.fail(f"{len(bad)} of {len(moments)} states, {kinds}\n{again([m for m, _ in bad], record)}\n{shown}")
