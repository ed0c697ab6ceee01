"""qmail-queue-check, qmail-queue-repair: what is wrong is named, mended or set aside; nothing accepted is lost."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import cqmail
from conftest import BIN, Run, needs_root
from sending import Sending

pytestmark = needs_root
OLD = 40 * 3600.0
TEXT = b"Subject: t\n\nhello\n"


def env(home: Path) -> dict[str, str]:
    return {"QMAIL_HOME": str(home)}


@pytest.fixture
def queue(tmp_path: Path) -> cqmail.Queue:
    """The queue of a home of C qmail, with a message in each lawful state."""
    queue = cqmail.Queue(cqmail.make(tmp_path / "qmail"))
    queue.arriving(TEXT)
    os.link(queue.path("mess", queue.arriving(TEXT)), queue.root / "pid/1.2.3")
    queue.intended(TEXT, b"a@b", [b"never@here.example"])
    queue.waiting(TEXT, b"a@b", [b"good1@here.example", b"good2@far.example"])
    queue.queued(TEXT, b"a@b", [b"Tgood3@here.example", b"Dgood@here.example"], [b"Tgood4@far.example"])
    return queue


def home_of(queue: cqmail.Queue) -> Path:
    return queue.root.parent


def files(queue: cqmail.Queue) -> set[str]:
    return {
        str(path.relative_to(queue.root))
        for path in queue.root.rglob("*")
        if not path.is_dir() and "lock" not in path.parts
    }


def aside(queue: cqmail.Queue) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in (queue.root / "bad").iterdir())


def test_a_queue_in_order_is_called_so_and_left_as_it_is(queue: cqmail.Queue, program: Run) -> None:
    before = cqmail.picture(queue.root)
    for words in (["qmail-queue-check"], ["qmail-queue-repair", "--dry-run"]):
        done = program(*words, env=env(home_of(queue)))
        assert (done.returncode, done.stdout) == (0, b"nothing is wrong in " + os.fsencode(queue.root) + b"\n")
        assert cqmail.picture(queue.root) == before
    assert program("qmail-queue-repair", env=env(home_of(queue))).returncode == 0
    assert {name for name in cqmail.picture(queue.root) if name != "bad"} == set(before)


Prepare = Callable[[cqmail.Queue, int], object]


def unlinked(kind: str) -> Prepare:
    return lambda queue, number: queue.path(kind, number).unlink()


def waiting(act: Prepare) -> Prepare:
    return lambda queue, _: act(queue, queue.waiting(TEXT, b"x@y", [b"good9@here.example"]))


def misplaced(queue: cqmail.Queue, number: int) -> None:
    path = queue.path("info", number)
    path.rename(queue.root / "info" / str((number + 1) % 23) / path.name)


def regular(queue: cqmail.Queue, _number: int) -> None:
    (queue.root / "lock/trigger").unlink()
    (queue.root / "lock/trigger").write_text("")


def doubled(queue: cqmail.Queue, number: int) -> None:
    os.link(queue.path("mess", number), queue.path("mess", number + 23))


def huge(queue: cqmail.Queue, number: int) -> None:
    queue.file("todo", number, b"u0\0p1\0Fa\0T")
    os.truncate(queue.path("todo", number), (128 << 20) + 1)


# What is done to a queued message (local T and D, remote T), what is said, and what is in bad/ afterwards.
BROKEN: dict[str, tuple[Prepare, str, str]] = {
    "no message": (unlinked("mess"), "has no message", "info local remote"),
    "no sender": (lambda queue, n: queue.file("info", n, b"Fa@b"), "names no sender", "info local mess remote"),
    "an odd record": (lambda queue, n: queue.file("local", n, b"Tgood3@here.example\0Xz\0"), "make no sense", "local"),
    "a torn record": (lambda queue, n: queue.file("remote", n, b"Tgood4@far.example\0Tgo"), "make no sense", "remote"),
    "no info": (unlinked("info"), "nobody knows its sender", "local mess remote"),
    "a lost todo": (waiting(unlinked("mess")), "has no message", "intd todo"),
    "a torn todo": (waiting(lambda queue, n: queue.file("todo", n, b"u0\0Fa@b\0Tx")), "makes no", "intd mess todo"),
    "another place": (misplaced, "is not where it is looked for", ""),
    "an odd name": (lambda queue, n: queue.path("info", n).with_name("core").write_text("x"), "is no file of", "info"),
    "a zero in front": (lambda queue, n: (queue.root / "todo/012").write_text("x"), "is no file of a message", "todo"),
    "a directory": (lambda queue, n: (queue.root / "bounce/9").mkdir(), "is no file of a message", "bounce"),
    "an owner": (lambda queue, n: os.chown(queue.path("info", n), 0, 0), "belongs to uid 0", ""),
    "a mode": (lambda queue, n: queue.path("mess", n).chmod(0o666), "has mode 666", ""),
    "an old arrival": (lambda queue, n: queue.arriving(TEXT, age=OLD), "was never accepted", ""),
    "an old envelope": (lambda queue, n: queue.intended(TEXT, b"a", [b"b"], age=OLD), "was never accepted", ""),
    "a done one": (lambda queue, n: queue.file("local", 99, b"Dx@y\0"), "is left of a finished", ""),
    "a missing part": (lambda queue, n: (queue.root / "local" / str((n + 1) % 23)).rmdir(), "is missing", ""),
    "a missing trigger": (lambda queue, n: (queue.root / "lock/trigger").unlink(), "trigger is missing", ""),
    "another trigger": (regular, "trigger is no fifo", "lock"),
    "a closed part": (lambda queue, n: (queue.root / "todo").chmod(0o700), "todo belongs to", ""),
    "an open part": (lambda queue, n: (queue.root / "mess/7").chmod(0o777), "mess/7 belongs to", ""),
    "a part of root": (lambda queue, n: os.chown(queue.root / "info/3", 0, 0), "info/3 belongs to uid 0", ""),
    "an empty todo": (waiting(lambda queue, n: queue.file("todo", n, b"")), "makes no sense", "intd mess todo"),
    "no sender in todo": (waiting(lambda queue, n: queue.file("todo", n, b"Tx\0")), "makes no", "intd mess todo"),
    "an odd letter": (waiting(lambda queue, n: queue.file("todo", n, b"Fa\0Xb\0")), "makes no", "intd mess todo"),
    "a huge address": (waiting(huge), "makes no sense", "intd mess todo"),
    "an empty info": (lambda queue, n: queue.file("info", n, b""), "names no sender", "info local mess remote"),
    "a second name": (doubled, "is a second name", ""),
    "a lonely bounce": (lambda queue, n: queue.file("bounce", 99, b"<x@y>:\nno\n\n"), "nobody knows", "bounce"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_fault_098_what_is_wrong_is_named_and_mended(queue: cqmail.Queue, program: Run, case: str) -> None:
    prepare, said, bad = BROKEN[case]
    number = int(next(path for path in (queue.root / "info").rglob("*") if path.is_file()).name)
    if case == "a missing part":
        number = next(n for n in range(1, 24) if not list((queue.root / "local" / str((n + 1) % 23)).iterdir()))
    prepare(queue, number)
    before = cqmail.picture(queue.root)
    done = program("qmail-queue-check", env=env(home_of(queue)))
    assert done.returncode == 1
    assert said.encode() in done.stdout
    assert cqmail.picture(queue.root) == before
    done = program("qmail-queue-repair", env=env(home_of(queue)))
    assert (done.returncode, done.stderr) == (0, b""), done.stdout
    assert said.encode() in done.stdout
    assert aside(queue) == bad.split()
    done = program("qmail", "queue", "check", env=env(home_of(queue)))
    assert done.returncode == 0
    assert (b"that were set aside are in" in done.stdout) == bool(bad)


def test_records_that_make_sense_stay_when_others_do_not(queue: cqmail.Queue, program: Run) -> None:
    number = queue.queued(TEXT, b"a@b", [b"Tone@here.example", b"Xodd", b"Dtwo@here.example", b"Tthree@here.example"])
    path = queue.path("local", number)
    before = path.stat()
    whole = path.read_bytes()
    assert program("qmail-queue-repair", env=env(home_of(queue))).returncode == 0
    assert path.read_bytes() == b"Tone@here.example\0Dtwo@here.example\0Tthree@here.example\0"
    after = path.stat()
    assert (before.st_mtime_ns, before.st_uid, before.st_mode) == (after.st_mtime_ns, after.st_uid, after.st_mode)
    assert (queue.root / f"bad/local.{number}.whole").read_bytes() == whole


def test_it_does_not_mend_while_others_work_and_does_not_complain_of_them(queue: cqmail.Queue, program: Run) -> None:
    with open(queue.root / "lock/sendmutex", "r+b") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        assert program("qmail-queue-repair", env=env(home_of(queue))).returncode == 111
        assert program("qmail-queue-check", env=env(home_of(queue))).returncode == 0


def test_a_divided_todo_is_not_touched(queue: cqmail.Queue, program: Run) -> None:
    (queue.root / "todo/3").mkdir()
    assert program("qmail-queue-repair", env=env(home_of(queue))).returncode == 100
    assert (queue.root / "todo/3").is_dir()


# ---- numbers


def restored(queue: cqmail.Queue, count: int) -> set[tuple[bytes, bytes]]:
    """A queue as a backup restores it: each name is some other file's inode. Returns (message, recipients) of each."""
    for i in range(count):
        queue.waiting(b"w%d\n" % i, b"a@b", [b"good-w%d@here.example" % i])
        queue.queued(b"q%d\n" % i, b"a@b", [b"Tgood-q%d@here.example" % i, b"Dx@y"], [b"Tgood-r%d@far.example" % i])
    names = [path for path in (queue.root / "mess").rglob("*") if path.is_file()]
    crossed(queue)
    for path in names:
        path.rename(path.with_name("x" + path.name))
    # Copies are made while the originals are there, so that inodes differ; some now have a number of another message.
    for path in names:
        old = path.with_name("x" + path.name)
        shutil.copy2(old, path)
        queue.dress(path, "mess")
    for path in names:
        path.with_name("x" + path.name).unlink()
    return contents(queue)


def crossed(queue: cqmail.Queue) -> None:
    """Two messages, each under the number of the other's inode."""
    first, second = (queue.queued(b"cross%d\n" % i, b"a@b", [b"Tgood-c%d@here.example" % i]) for i in range(2))
    for kind in ("mess", "info", "local"):
        one, two = queue.path(kind, first), queue.path(kind, second)
        middle = one.with_name("middle")
        one.rename(middle)
        two.rename(one)
        middle.rename(two)


def contents(queue: cqmail.Queue) -> set[tuple[bytes, bytes]]:
    found = set()
    for path in (queue.root / "mess").rglob("*"):
        if path.is_file():
            number = int(path.name)
            kinds = ("todo",) if queue.path("todo", number).exists() else ("info", "local", "remote")
            records = [queue.path(kind, number).read_bytes() for kind in kinds if queue.path(kind, number).exists()]
            if records:
                found.add((path.read_bytes(), b"|".join(records)))
    return found


def misnumbered(queue: cqmail.Queue) -> list[str]:
    live = {path.name for kind in ("todo", "info") for path in (queue.root / kind).rglob("*") if path.is_file()}
    mess = [path for path in (queue.root / "mess").rglob("*") if path.is_file() and path.name in live]
    return [path.name for path in mess if path.stat().st_ino != int(path.name)]


def test_fault_097_messages_get_the_numbers_of_their_inodes(tmp_path: Path, program: Run) -> None:
    queue = cqmail.Queue(cqmail.make(tmp_path / "qmail"))
    before = restored(queue, 20)
    assert len(before) == 42
    assert len(misnumbered(queue)) >= 40
    done = program("qmail-queue-check", env=env(home_of(queue)))
    assert (done.returncode, done.stdout.count(b"as after a restored backup")) == (1, len(misnumbered(queue)))
    done = program("qmail-queue-repair", env=env(home_of(queue)))
    assert (done.returncode, done.stderr) == (0, b"")
    assert contents(queue) == before
    assert not misnumbered(queue)
    assert not aside(queue)


def test_a_renumbered_queue_is_delivered(tmp_path: Path, program: Run) -> None:
    queue = cqmail.Queue(cqmail.make(tmp_path / "qmail"))
    restored(queue, 10)
    assert program("qmail-queue-repair", env=env(home_of(queue))).returncode == 0
    assert program("qmail-takeover", "--services", "/nowhere", env=env(home_of(queue))).returncode == 0
    sending = Sending(home_of(queue))
    try:
        sending.start()
        sending.signal(14)
        sending.until("everything is delivered", lambda: not sending.files())
        expected = sorted(f"good-{kind}{i}@here.example" for kind in "cwq" for i in range(2 if kind == "c" else 10))
        assert sorted(sending.orders("lspawn")) == expected
        assert sorted(sending.orders("rspawn")) == sorted(f"good-r{i}@far.example" for i in range(10))
    finally:
        sending.close()


CALLS = ("link,linkat", "unlink,unlinkat", "fsync")


@pytest.mark.parametrize(
    ("calls", "times"),
    [(("link,linkat",), (1, 4)), pytest.param(CALLS, range(1, 30, 2), marks=pytest.mark.prove)],
)
def test_a_death_in_the_middle_of_renumbering_loses_and_doubles_nothing(
    tmp_path: Path, program: Run, calls: tuple[str, ...], times: range
) -> None:
    for call in calls:
        for when in times:
            queue = cqmail.Queue(cqmail.make(tmp_path / f"{call}{when}".replace(",", "-")))
            before = restored(queue, 2)
            program(
                shutil.which("strace") or "strace", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={when}",
                BIN / "qmail-queue-repair", env=env(home_of(queue)),
            )  # fmt: skip
            done = program("qmail-queue-repair", env=env(home_of(queue)))
            assert (done.returncode, done.stderr) == (0, b""), (call, when, done.stdout)
            assert contents(queue) == before, (call, when)
            assert not misnumbered(queue)
            live = [path for kind in ("todo", "info") for path in (queue.root / kind).rglob("*") if path.is_file()]
            assert len(live) == 6, (call, when)
