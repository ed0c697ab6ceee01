"""mbox files: appended to under a lock, repaired where a crash has torn them, cut back where writing fails."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qmail.host import durable
from qmail.stores import mboxfile
from qmail.stores.message import Message

LINES = b"From s@a Thu Jan 01 00:00:00 1970\nDelivered-To: joe@h\n"


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / "Mailbox"


def append(box: Path, *texts: bytes) -> list[bytes | None]:
    letters = []
    for number, text in enumerate(texts):
        path = box.parent / f"message{number}"
        path.write_bytes(text)
        letters.append((LINES, Message(os.open(path, os.O_RDONLY))))
    answers = mboxfile.append(os.fsencode(box), letters)
    return [None if answer is None else answer.text for answer in answers]


def test_messages_stand_one_behind_the_other_with_an_empty_line_after_each(box: Path) -> None:
    assert append(box, b"Subject: t\n\nFrom me\n", b"x") == [None, None]
    assert box.read_bytes() == LINES + b"Subject: t\n\n>From me\n\n" + LINES + b"x\n\n"
    assert box.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("before", "repaired"),
    [(b"", b""), (b"a\n\n", b"a\n\n"), (b"a\n", b"a\n\n"), (b"a", b"a\n\n"), (b"\n", b"\n"), (b"From", b"From\n\n")],
)
def test_what_a_crash_has_torn_is_ended_first(box: Path, before: bytes, repaired: bytes) -> None:
    box.write_bytes(before)
    assert append(box, b"x\n") == [None]
    assert box.read_bytes() == repaired + LINES + b"x\n\n"


def test_a_new_mbox_has_a_durable_name_before_it_has_mail(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(durable, "sync_directory", lambda path: sizes.append((path, box.stat().st_size)))
    assert append(box, b"x\n") == append(box, b"y\n") == [None]
    assert sizes == [(os.fsencode(box.parent), 0)]


@pytest.mark.parametrize("failing", ["sync", "sync_directory"])
def test_fault_088_a_disk_that_fails_leaves_the_mbox_as_it_was(
    box: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    box.write_bytes(b"" if failing == "sync_directory" else b"old\n\n")
    before = box.read_bytes()

    def fail(_what: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(durable, failing, fail)
    text = b"Unable to write " + os.fsencode(box) + b": out of disk space. (#4.3.0)"
    assert append(box, b"x\n", b"y\n") == [text, text]
    assert box.read_bytes() == before


def test_a_message_that_cannot_be_read_is_cut_out_and_the_others_stay(box: Path) -> None:
    paths = [box.parent / name for name in ("1", "2", "3")]
    for path in paths:
        path.write_bytes(path.name.encode() * 100_000)
    letters = [(LINES, Message(os.open(path, os.O_RDONLY), 100_000 + (path.name == "2"))) for path in paths]
    answers = mboxfile.append(os.fsencode(box), letters)
    assert answers[0] is answers[2] is None and answers[1] is not None
    assert box.read_bytes() == b"".join(LINES + path.read_bytes() + b"\n\n" for path in (paths[0], paths[2]))


def test_fault_088_somebody_elses_lock_is_waited_for_but_not_for_ever(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mboxfile, "PATIENCE", 1)
    box.write_bytes(b"old\n\n")
    with open(box, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert append(box, b"x\n") == [mboxfile.LOCKED]
    assert box.read_bytes() == b"old\n\n"
    code = "import fcntl,sys,time; f=open(sys.argv[1]); fcntl.flock(f,2); print(flush=True); time.sleep(.3)"
    with subprocess.Popen([sys.executable, "-c", code, box], stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline()
        assert append(box, b"x\n") == [None]


def test_a_mailbox_that_was_replaced_meanwhile_gets_the_message(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box.write_bytes(b"old\n\n")
    real, replaced = mboxfile.locks.exclusive, []

    def exclusive(descriptor: int, seconds: int) -> bool:
        if not replaced:
            replaced.append(box.with_name("new"))
            replaced[0].write_bytes(b"new\n\n")
            replaced[0].rename(box)
        return real(descriptor, seconds)

    monkeypatch.setattr(mboxfile.locks, "exclusive", exclusive)
    assert append(box, b"x\n") == [None]
    assert box.read_bytes() == b"new\n\n" + LINES + b"x\n\n"


def test_fault_088_a_link_is_followed_only_in_a_directory_of_our_own(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = box.with_name("target")
    target.write_bytes(b"")
    box.symlink_to(target)
    assert append(box, b"x\n") == [None]
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    answer = append(box, b"y\n")[0]
    assert answer is not None and b"symbolic link loop" in answer
    assert target.read_bytes().count(LINES) == 1


def test_what_is_no_file_is_refused(box: Path) -> None:
    box.mkdir()
    answer = append(box, b"x\n")[0]
    assert answer == b"Unable to open " + os.fsencode(box) + b": is a directory. (#4.2.1)"
    os.mkfifo(box / "fifo")
    answer = append(box / "fifo", b"x\n")[0]
    assert answer is not None and b"nable to" in answer
