"""The power goes while a queue is imported: every message counts whole or not at all, and comes in once in the end.

qmail-queue-import is recorded, and after each of its steps every state that the strict model allows is looked at.
From some of them the import is started again.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cqmail
import figures
from conftest import BIN, needs_root, open_to_others
from crash import recording
from crash.disk import Disk, Tree, rebuild, snapshot
from crash.exploring import SEED, explore
from crash.happenings import Event, Synced, SyncedAll, SyncedDirectory

pytestmark = [needs_root, pytest.mark.prove, pytest.mark.timeout(300)]

JOURNAL = b"home/queue/imported"
STARTED_AGAIN = 12
BOUNCE = b"<gone@far.example>:\nno such user\n\n"
TEXTS = [b"Received: (qmail %d)\n\n" % number + b"line\n" * 30 for number in range(3)]
# What each is to have in the end: files that make it count, by kind. The first was never looked at.
EXPECTED = [
    {"todo": b"u0\0p123\0Fa@b\0Tgood1@here.example\0Tgood2@far.example\0"},
    {"info": b"Fc@d\0", "local": b"Tgood3@here.example\0Dgood4@here.example\0", "remote": b"Tgood5@far.example\0"},
    {"info": b"Fe@f\0", "remote": b"Dgone@far.example\0Tgood6@far.example\0", "bounce": BOUNCE},
]
WAYS = ("together", "one by one")


def given(place: Path) -> bytes:
    """The archive."""
    queue = cqmail.Queue(cqmail.make(place))
    queue.waiting(TEXTS[0], b"a@b", [b"good1@here.example", b"good2@far.example"])
    queue.queued(TEXTS[1], b"c@d", [b"Tgood3@here.example", b"Dgood4@here.example"], [b"Tgood5@far.example"])
    number = queue.queued(TEXTS[2], b"e@f", [], [b"Dgone@far.example", b"Tgood6@far.example"])
    queue.file("bounce", number, BOUNCE)
    return subprocess.run([BIN / "qmail-queue-export"], env={"QMAIL_HOME": str(place)}, capture_output=True).stdout


class Imported:
    """One import as recorded, and everything to look at its states."""

    def __init__(self, top: Path, archive: bytes, output: Path, way: str) -> None:
        from qmail.stores.installation import create

        self.top, self.archive, self.way = top, archive, way
        create(os.fsencode(top / "home"))
        self.queue = top / "home/queue"
        self.before = snapshot(top, self.queue)
        # Where the queue is on two disks, its files are synced one by one.
        before = recording.on_two_disks(top / "home/queue/bounce") if way == "one by one" else []
        words = [*before, *recording.strace(output), BIN / "qmail-queue-import"]
        done = subprocess.run(words, input=archive, env=self.env, check=True, capture_output=True)
        assert done.stdout.count(b" here, with ") == len(TEXTS)
        self.events = recording.events(output, self.queue)

    @property
    def env(self) -> dict[str, str]:
        return {"QMAIL_HOME": str(self.top / "home")}

    def states(
        self, events: list[Event], count: Counter[str], *, since: int = 0, chance: int = 10
    ) -> Iterator[tuple[str, Tree]]:
        """All that may be found."""
        disk = Disk(bytes(self.top), *self.before)
        yield from explore(disk, events, lambda *_: None, lambda: None, count, chance=chance, since=since)


@pytest.fixture(scope="module", params=WAYS)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    recording.check_available()
    place = open_to_others(tmp_path_factory.mktemp("import"))
    (place / "top").mkdir()
    return Imported(place / "top", given(place / "old"), place / "strace", request.param)


def live(tree: Tree) -> dict[int, tuple[bytes | None, dict[str, bytes]]]:
    """Number to text and files of every message that counts."""
    files: dict[int, dict[str, bytes]] = {}
    for path, text in tree.items():
        kind, _, name = os.fsdecode(path).removeprefix("home/queue/").partition("/")
        name = name.rpartition("/")[2]
        if name.isdigit():
            files.setdefault(int(name), {})[kind] = text
    found = {}
    for number, kinds in files.items():
        if "todo" in kinds:
            found[number] = kinds.get("mess"), {"todo": kinds["todo"]}
        elif "info" in kinds:
            found[number] = kinds.get("mess"), {kind: kinds[kind] for kind in kinds if kind not in ("mess", "intd")}
    return found


def wrong(tree: Tree) -> str:
    """What is wrong with a state; nothing where every message counts whole or not at all, and the journal is true."""
    there = live(tree)
    for number, (text, files) in there.items():
        if text not in TEXTS or files != EXPECTED[TEXTS.index(text)]:
            return f"{number} counts, and is not whole: {text!r} {files}"
    if len({text for text, _ in there.values()}) < len(there):
        return "a message counts twice"
    notes = [line.split(b" ") for line in tree.get(JOURNAL, b"").split(b"\n")]
    known = {(words[0], int(words[1])) for words in notes if len(words) == 5 and len(words[4]) == 10}
    for number in {number for word, number in known if word == b"done"} - there.keys():
        return f"the journal says that {number} counts, and it does not"
    for number in there.keys() - {number for word, number in known if word in (b"ready", b"done")}:
        return f"{number} counts, and would be imported again"
    return ""


def test_every_message_counts_whole_or_not_at_all(imported: Imported, tell: Callable[[str], None]) -> None:
    begin, count = time.monotonic(), Counter[str]()
    for how, tree in imported.states(imported.events, count):
        assert not wrong(tree), how
    tell(f"import: {len(imported.events)} steps, {count['made']} states, {count['different']} of them different")
    assert count["different"] > 100
    figures.record(
        "import",
        model="strict",
        workload=imported.way,
        total=count["made"],
        run=count["different"],
        restarted=STARTED_AGAIN,
        lost=0,
        damaged=0,
        seconds=round(time.monotonic() - begin, 1),
    )


def test_without_any_one_sync_a_message_counts_in_part_or_is_lost_or_comes_twice(
    imported: Imported, tell: Callable[[str], None]
) -> None:
    syncs = [at for at, each in enumerate(imported.events) if isinstance(each, Synced | SyncedAll | SyncedDirectory)]
    idle = []
    for at in syncs:
        events = imported.events[:at] + imported.events[at + 1 :]
        if not any(wrong(tree) for _, tree in imported.states(events, Counter(), since=at, chance=2)):
            idle.append(str(imported.events[at]).replace(str(imported.top), ""))
    tell(f"import: {len(syncs) - len(idle)} of {len(syncs)} syncs are missed when they are taken out; not: {idle}")
    # What guards a number that is used again, and a journal that is read days later, cannot be missed here.
    assert all("/imported'" in each or "path=b'/home/queue'" in each for each in idle)
    assert len(syncs) - len(idle) >= 3


def test_started_again_it_takes_each_message_in_once(imported: Imported) -> None:
    trees = {frozenset(tree.items()): (how, tree) for how, tree in imported.states(imported.events, Counter())}
    chosen = random.Random(SEED).sample(sorted(trees.values(), key=lambda one: one[0]), STARTED_AGAIN)
    for how, tree in chosen:
        for path in snapshot(imported.top, imported.queue)[0].keys() - imported.before[0].keys():
            (imported.top / os.fsdecode(path)).unlink()
        rebuild(tree, imported.top, age=60, now=time.time())
        done = subprocess.run(
            [BIN / "qmail-queue-import"], input=imported.archive, env=imported.env, capture_output=True
        )
        assert done.returncode == 0, (how, done.stderr)
        after = snapshot(imported.top, imported.queue)[0]
        assert not wrong(after), how
        assert sorted(text or b"" for text, _ in live(after).values()) == sorted(TEXTS), (how, done.stderr)
