"""qmail-queue-export, -import and -show: a queue moves to another host with all that was known of its mail."""

from __future__ import annotations

import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

import cqmail
from conftest import BIN, Run, needs_root
from qmail.formats.besides import extension
from qmail.formats.mailparameters import DELAY, Parameters, Wish
from sending import Sending

pytestmark = needs_root
ASKED = extension(Parameters(b"HDRS", b"Q+2B1", wishes={b"temp1@here.example": Wish(DELAY, b"rfc822;t")}))
BOUNCE = b"<gone@far.example>:\nno such user\n\n"
Mail = dict[bytes, tuple[object, ...]]


def env(home: Path) -> dict[str, str]:
    return {"QMAIL_HOME": str(home)}


def text(number: int) -> bytes:
    """Message `number`; none is a line, or ends in one."""
    return b"Received: (qmail %d)\nSubject: m%d\n\n" % (number, number) + b"line\r\n\0\xff" * (number * 40)


@pytest.fixture
def old(tmp_path: Path) -> cqmail.Queue:
    """A queue as C qmail leaves it, with mail in every lawful state."""
    queue = cqmail.Queue(cqmail.make(tmp_path / "old"))
    queue.arriving(b"never accepted")
    queue.waiting(text(1), b"a@b", [b"good1@here.example", b"good2@far.example"])
    queue.waiting(text(2), b"", [b"odd \xff%\n@here.example"])
    queue.queued(text(3), b"c@d", [b"Tgood3@here.example", b"Dgood4@here.example"], [b"Tgood5@far.example"])
    number = queue.queued(text(4), b"e@f", [], [b"Dgone@far.example", b"Tgood6@far.example"])
    queue.file("bounce", number, BOUNCE)
    done = queue.queued(text(5), b"good-told@here.example", [])
    queue.file("bounce", done, BOUNCE)
    return queue


@pytest.fixture
def new(tmp_path: Path) -> cqmail.Queue:
    """An empty queue of ours."""
    return fresh(tmp_path / "new")


def fresh(home: Path) -> cqmail.Queue:
    from qmail.stores.installation import create

    create(os.fsencode(home))
    (home / "bin").rmdir()
    (home / "bin").symlink_to(BIN)
    (home / "control/me").write_text("here.example\n")
    return cqmail.Queue(home)


def mail(queue: cqmail.Queue) -> Mail:
    """What is known of each message that was accepted, by its text; twice the same would be seen."""
    found: Mail = {}
    places = [path for kind in ("todo", "info") for path in (queue.root / kind).rglob("*") if path.is_file()]
    for path in places:
        number = int(path.name)
        files = {
            kind: queue.path(kind, number)
            for kind in ("info", "local", "remote", "bounce", "todo")
            if queue.path(kind, number).exists()
        }
        known = tuple(
            (kind, each.read_bytes(), int(each.stat().st_mtime) if kind not in ("todo", "bounce") else 0)
            for kind, each in files.items()
        )
        assert queue.path("mess", number).stat().st_ino == number
        content = queue.path("mess", number).read_bytes()
        assert content not in found
        found[content] = known
    return found


def export(program: Run, queue: cqmail.Queue, *numbers: object) -> bytes:
    done = program("qmail", "queue", "export", *map(str, numbers), env=env(queue.root.parent))
    assert done.returncode == 0, done.stderr
    return done.stdout


def taken(program: Run, queue: cqmail.Queue, archive: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    return program("qmail", "queue", "import", *words, stdin=archive, env=env(queue.root.parent))


def in_order(program: Run, queue: cqmail.Queue) -> bool:
    done = program("qmail-queue-check", env=env(queue.root.parent))
    assert done.returncode == 0, done.stdout
    return True


def test_a_whole_queue_moves(old: cqmail.Queue, new: cqmail.Queue, program: Run) -> None:
    before = cqmail.picture(old.root)
    archive = export(program, old)
    assert cqmail.picture(old.root) == before
    dry = taken(program, new, archive, "--dry-run")
    assert (dry.returncode, dry.stdout.count(b"would be here"), mail(new)) == (0, 5, {})
    assert not (new.root / "imported").exists()
    done = taken(program, new, archive)
    assert (done.returncode, done.stdout.count(b"\nmessage ") + 1) == (0, 5)
    assert done.stderr == b"qmail-queue-import: 5 messages imported, 0 were here already\n"
    assert mail(new) == mail(old)
    assert in_order(program, new)
    assert mail(new) == mail_of_archive(program, new, archive)


def mail_of_archive(program: Run, queue: cqmail.Queue, archive: bytes) -> Mail:
    """Importing it again says what is here already, and changes nothing."""
    before = cqmail.picture(queue.root)
    done = taken(program, queue, archive)
    assert (done.returncode, done.stdout, done.stderr.count(b"is here already, as")) == (0, b"", 5)
    assert cqmail.picture(queue.root) == before
    return mail(queue)


def test_one_message_moves_alone(old: cqmail.Queue, new: cqmail.Queue, program: Run) -> None:
    number = int(next(path for path in (old.root / "todo").iterdir()).name)
    content = old.path("mess", number).read_bytes()
    assert taken(program, new, export(program, old, number)).returncode == 0
    assert mail(new).keys() == {content}
    done = program("qmail-queue-export", "7", str(number), env=env(old.root.parent))
    assert (done.returncode, b"there is no message 7" in done.stderr) == (1, True)
    assert taken(program, new, done.stdout, "--again").returncode == 0
    assert len(list((new.root / "todo").iterdir())) == 2


def test_tar_and_sha256sum_understand_an_archive(old: cqmail.Queue, program: Run, tmp_path: Path) -> None:
    (tmp_path / "q.tar").write_bytes(export(program, old))
    subprocess.run(["tar", "xf", "q.tar"], cwd=tmp_path, check=True, capture_output=True)
    sums = sorted(tmp_path.glob("*/sha256"))
    assert len(sums) == 5
    for path in sums:
        subprocess.run(["sha256sum", "-c", "--quiet", "--strict", path], cwd=tmp_path, check=True)
        number = int(path.parent.name)
        assert (path.parent / "message.eml").read_bytes() == old.path("mess", number).read_bytes()


def test_an_archive_that_was_packed_anew_is_imported(
    old: cqmail.Queue, new: cqmail.Queue, program: Run, tmp_path: Path
) -> None:
    (tmp_path / "q.tar").write_bytes(export(program, old))
    place = tmp_path / "unpacked"
    place.mkdir()
    subprocess.run(["tar", "xf", "../q.tar"], cwd=place, check=True)
    subprocess.run(["tar", "cf", "../again.tar", "."], cwd=place, check=True)
    assert taken(program, new, (tmp_path / "again.tar").read_bytes()).returncode == 0
    assert mail(new) == mail(old)


def test_what_makes_no_sense_is_named_and_the_rest_exported(old: cqmail.Queue, new: cqmail.Queue, program: Run) -> None:
    whole = mail(old)
    damaged = old.waiting(b"x", b"a@b", [b"c@d"])
    old.file("todo", damaged, b"Tx\0")
    lost = old.queued(b"y", b"a@b", [b"Tc@d"])
    old.path("mess", lost).unlink()
    done = program("qmail-queue-export", env=env(old.root.parent))
    assert done.returncode == 1
    assert b"message %d is not exported: no sender" % damaged in done.stderr
    assert b"message %d is not exported: it has no message" % lost in done.stderr
    assert taken(program, new, done.stdout).returncode == 0
    assert mail(new) == whole


def test_a_qmail_send_that_runs_is_said_and_keeps_an_import_out(
    old: cqmail.Queue, new: cqmail.Queue, program: Run
) -> None:
    archive = export(program, old)
    for queue in (old, new):
        with open(queue.root / "lock/sendmutex", "r+b") as mutex:
            fcntl.flock(mutex, fcntl.LOCK_EX)
            done = program("qmail-queue-export", env=env(queue.root.parent))
            assert (done.returncode, b"qmail-send is running" in done.stderr) == (0, True)
            done = taken(program, queue, archive)
            assert (done.returncode, b"qmail-send is running" in done.stderr) == (111, True)
    assert not mail(new)


# ---- damage


def test_a_damaged_message_is_left_out_and_named(old: cqmail.Queue, new: cqmail.Queue, program: Run) -> None:
    archive = export(program, old)
    at = archive.index(text(3)) + 200
    done = taken(program, new, archive[:at] + b"?" + archive[at + 1 :])
    assert done.returncode == 1
    assert b"is left out: message.eml is not as its sum says" in done.stderr
    assert mail(new) == {key: known for key, known in mail(old).items() if key != text(3)}
    assert taken(program, new, archive).stdout.count(b" here, with ") == 1
    assert mail(new) == mail(old)
    assert in_order(program, new)


@pytest.mark.parametrize("part", ["envelope", "message.eml", "bounce", "sha256"])
def test_a_missing_file_is_seen(old: cqmail.Queue, new: cqmail.Queue, program: Run, tmp_path: Path, part: str) -> None:
    (tmp_path / "q.tar").write_bytes(export(program, old))
    name = next(name for name in tarfile.open(tmp_path / "q.tar").getnames() if name.endswith("/" + part))
    subprocess.run(["tar", "--delete", "-f", tmp_path / "q.tar", name], check=True)
    done = taken(program, new, (tmp_path / "q.tar").read_bytes())
    assert done.returncode == 1
    assert b"message %s is left out" % name.partition("/")[0].encode() in done.stderr
    assert len(mail(new)) == 4


def test_an_archive_that_ends_early_gives_what_is_whole_and_says_so(
    old: cqmail.Queue, new: cqmail.Queue, program: Run
) -> None:
    archive = export(program, old)
    before: Mail = {}
    end = archive.rindex(b"message.eml\n")  # the last sum's
    for length in (*range(0, end, end // 3), end + 100, len(archive.rstrip(b"\0")) + 600):
        done = taken(program, new, archive[:length])
        assert (done.returncode, b"the archive ends early" in done.stderr) == (111, True), length
        assert mail(new).items() >= before.items()
        before = mail(new)
        assert in_order(program, new)
    assert before == mail(old)


def test_what_is_no_archive_is_refused(new: cqmail.Queue, program: Run) -> None:
    for nothing in (b"x" * 2000, b"From a@b\nSubject: x\n\n" * 100):
        done = taken(program, new, nothing)
        assert (done.returncode, b"no tar archive" in done.stderr) == (100, True)


# ---- an end in the middle


CALLS = ("link,linkat", "rename", "syncfs,fsync", "unlink,unlinkat", "write")


@pytest.mark.parametrize(
    ("calls", "first", "step"),
    [(("link,linkat",), 6, 9), (("rename",), 2, 9), pytest.param(CALLS, 1, 3, marks=pytest.mark.prove)],
)
def test_an_import_that_was_killed_is_started_again_and_takes_nothing_in_twice(
    old: cqmail.Queue, tmp_path: Path, program: Run, calls: tuple[str, ...], first: int, step: int
) -> None:
    archive, before = export(program, old), mail(old)
    for call in calls:
        when, was_killed = first, True
        while was_killed:  # until there is no such call any more
            queue = fresh(tmp_path / f"new-{call.partition(',')[0]}-{when}")
            killed = program(
                "/usr/bin/strace", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={when}",
                BIN / "qmail-queue-import", stdin=archive, env=env(queue.root.parent),
            )  # fmt: skip
            was_killed = killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
            assert was_killed or when > first, f"there is no {call}"
            if when % 2:
                # Whoever looks at the queue first sees what happened, and can take it back.
                program("qmail-queue-repair", env=env(queue.root.parent))
                assert in_order(program, queue)
            done = taken(program, queue, archive)
            assert done.returncode == 0, done.stderr
            assert mail(queue) == before, (call, when, done.stderr)
            assert in_order(program, queue)
            when += step


@pytest.mark.parametrize(
    ("call", "error", "when"),
    [("link,linkat", "ENOSPC", 6), ("write", "ENOSPC", 4), ("syncfs,fsync", "EIO", 3), ("rename", "ENOSPC", 2)],
)
def test_what_the_disk_refuses_is_not_imported_and_is_when_started_again(
    old: cqmail.Queue, new: cqmail.Queue, program: Run, call: str, error: str, when: int
) -> None:
    archive = export(program, old)
    failed = program(
        "/usr/bin/strace", "-o", "/dev/null", "-e", f"inject={call}:error={error}:when={when}",
        BIN / "qmail-queue-import", stdin=archive, env=env(new.root.parent),
    )  # fmt: skip
    assert (failed.returncode, b"start it again" in failed.stderr) == (111, True)
    assert taken(program, new, archive).returncode == 0
    assert mail(new) == mail(old)
    assert in_order(program, new)


# ---- and then


def test_imported_mail_is_delivered_once_and_its_failures_are_told(
    old: cqmail.Queue, new: cqmail.Queue, program: Run
) -> None:
    assert taken(program, new, export(program, old)).returncode == 0
    sending = Sending(new.root.parent, control={"locals": "here.example\n"})
    try:
        sending.start()
        sending.signal(signal.SIGALRM)
        sending.until("everything is delivered", lambda: not sending.files())
        for spawner, expected in (
            ("lspawn", ["good-told@here.example", "good1@here.example", "good3@here.example"]),
            ("rspawn", ["good2@far.example", "good5@far.example", "good6@far.example"]),
        ):
            said = sending.record(spawner).read_text("latin-1")
            assert sorted(re.findall(r"good[\w-]*@[a-z.]+$", said, re.MULTILINE)) == expected
    finally:
        sending.close()


def test_a_queue_of_ours_is_in_order_and_moves_with_its_failures_and_what_is_done(
    new: cqmail.Queue, tmp_path: Path, program: Run
) -> None:
    first = Sending(fresh(tmp_path / "first").root.parent, control={"locals": "here.example\n"})
    try:
        first.start()
        told, three = "good-told@here.example", ["perm@here.example", "good1@here.example", "temp1@here.example"]
        first.submit(told, three, asked=ASKED)
        first.submit("a@b", [f"temp{number}@far.example" for number in range(2, 5)])
        first.wait("deferral: ", 4)
        first.until("files", lambda: first.kinds().count("info") == 2)
        assert first.stop() == 0
        first.submit("a@b", ["good2@here.example"], asked=ASKED)
    finally:
        first.close()
    queue = cqmail.Queue(first.home)
    assert in_order(program, queue)
    before = cqmail.picture(queue.root)
    archive = export(program, queue)
    assert cqmail.picture(queue.root) == before
    assert taken(program, new, archive).returncode == 0
    assert mail(new) == mail(queue)
    assert {kind for known in mail(new).values() for kind, *_ in known} == {"info", "local", "remote", "bounce", "todo"}
    for number in [path.name for kind in ("todo", "info") for path in (new.root / kind).rglob("*") if path.is_file()]:
        shown = program("qmail-queue-show", number, env=env(new.root.parent)).stdout
        assert (b"\nasked for: mail HDRS Q+2B1 =\nasked for: rcpt DELAY rfc822;t temp1@here" in shown) == (
            b"far.example" not in shown
        )


def test_a_message_is_shown(old: cqmail.Queue, program: Run) -> None:
    for path in [path for kind in ("todo", "info") for path in (old.root / kind).rglob("*") if path.is_file()]:
        number = path.name
        done = program("qmail", "queue", "show", number, env=env(old.root.parent))
        content = old.path("mess", int(number)).read_bytes()
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"message %s, %d bytes, here since " % (number.encode(), len(content)))
        assert content.partition(b"\n\n")[0] in done.stdout
        assert (b"not told of" in done.stdout) == old.path("bounce", int(number)).exists()
        if old.path("local", int(number)).exists():
            assert b"to   good4@here.example, local, done\n" in done.stdout
            assert b"to   good5@far.example, remote, to be tried " in done.stdout
        assert program("qmail-queue-show", "--message", number, env=env(old.root.parent)).stdout == content
    assert program("qmail-queue-show", "7", env=env(old.root.parent)).returncode == 1


def test_a_large_queue_is_exported_and_imported_in_little_memory(
    tmp_path: Path, new: cqmail.Queue, program: Run
) -> None:
    queue = cqmail.Queue(cqmail.make(tmp_path / "large"))
    chance = random.Random(1)
    for at in range(150):
        queue.waiting(chance.randbytes(1000) + b"%d" % at, b"a@b", [b"c%d@d" % at])
    queue.waiting(b"x" * (40 << 20), b"a@b", [b"c@d"])
    script = 'ulimit -v 200000; "$0" queue export | QMAIL_HOME="$1" "$0" queue import'
    done = program("/bin/sh", "-c", script, BIN / "qmail", new.root.parent, env=env(queue.root.parent))
    assert (done.returncode, done.stdout.count(b" here, with 1 recipients left")) == (0, 151), done.stderr
    assert mail(new) == mail(queue)
    shutil.rmtree(queue.root)
