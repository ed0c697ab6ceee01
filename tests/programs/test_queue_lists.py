"""qmail-qread, qmail-qstat and qmail-upq on a queue made by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import Run

FILES = {
    "mess/6/1000000": b"Subject: t\n\nhello\n",
    "info/6/1000000": b"Fa b\x01\xff@c\0",
    "local/6/1000000": b"Tx@y\0Dz\tw\0Xignored\0",
    "remote/6/1000000": b"Dr@s\0Tt@u\0Topen",
    "bounce/1000000": b"<x>:\n\n",
    "mess/7/1000001": b"Subject: t\n\nhello\n",
    "todo/1000001": b"u0\0p1\0Fs@x\0Tt@u\0",
}


@pytest.fixture
def filled(home: Path) -> Path:
    for name, text in FILES.items():
        (home / "queue" / name).write_bytes(text)
    os.utime(home / "queue/info/6/1000000", (1722100296, 1722100296))
    return home


def test_qread_lists_messages_and_recipients_with_odd_bytes_masked(filled: Path, program: Run) -> None:
    done = program("qmail-qread", env={"QMAIL_HOME": str(filled)})
    assert done.returncode == 0
    assert done.stdout == (
        b"27 Jul 2024 17:11:36 GMT  #1000000  18  <a b__@c>  bouncing\n"
        b"\tlocal\tx@y\n"
        b"  done\tlocal\tz_w\n"
        b"  done\tremote\tr@s\n"
        b"\tremote\tt@u\n"
    )


def test_qstat_counts_messages_and_those_in_todo(filled: Path, program: Run) -> None:
    done = program("qmail-qstat", env={"QMAIL_HOME": str(filled)})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"messages in queue: 2\nmessages in queue but not yet preprocessed: 1\n"


@pytest.mark.parametrize("name", ["qmail-qread", "qmail-qstat"])
def test_a_missing_queue_is_an_error(name: str, tmp_path: Path, program: Run) -> None:
    done = program(name, env={"QMAIL_HOME": str(tmp_path)})
    assert done.returncode == 111
    assert done.stdout + done.stderr


def test_upq_moves_every_file_to_its_split_directory(filled: Path, program: Run) -> None:
    queue = filled / "queue"
    (queue / "mess/6/1000000").rename(queue / "mess/1000000")
    (queue / "info/6/1000000").rename(queue / "info/22/1000000")
    done = program("qmail-upq", env={"QMAIL_HOME": str(filled)})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (queue / "mess/6/1000000").read_bytes() == FILES["mess/6/1000000"]
    assert (queue / "info/6/1000000").read_bytes() == FILES["info/6/1000000"]
    assert not (queue / "mess/1000000").exists()


def test_upq_overwrites_nothing_and_says_what_it_could_not_move(filled: Path, program: Run) -> None:
    queue = filled / "queue"
    (queue / "mess/5/1000000").write_bytes(b"another\n")
    done = program("qmail-upq", env={"QMAIL_HOME": str(filled)})
    assert done.returncode == 111
    assert b"unable to move " in done.stderr
    assert (queue / "mess/6/1000000").read_bytes() == FILES["mess/6/1000000"]
    assert (queue / "mess/5/1000000").read_bytes() == b"another\n"
