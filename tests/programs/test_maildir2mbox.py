"""maildir2mbox: mail moves, and none is lost on the way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conftest import BIN


@pytest.fixture
def place(tmp_path: Path) -> Path:
    subprocess.run([BIN / "maildirmake", tmp_path / "Maildir"], check=True)
    return tmp_path


def put(place: Path, name: str, text: bytes, when: int) -> None:
    path = place / "Maildir" / name
    path.write_bytes(text)
    os.utime(path, (when, when))


def move(place: Path, **environ: str) -> subprocess.CompletedProcess[bytes]:
    names = {"MAILDIR": "Maildir", "MAIL": "Mailbox", "MAILTMP": "Mailbox.tmp"} | environ
    environment = {name: f"{place}/{value}" for name, value in names.items()}
    return subprocess.run([BIN / "maildir2mbox"], env=environment, capture_output=True, timeout=60)


def test_messages_move_in_the_order_they_came(place: Path) -> None:
    put(place, "new/2", b"Return-Path: <a b@c>\nSubject: 2\n\nFrom me\nlast", 200)
    put(place, "cur/1:2,S", b"Subject: 1\n\n", 100)
    (place / "Mailbox").write_bytes(b"From old Thu Jan 01 00:00:00 1970\n\ntorn")
    done = move(place)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (place / "Mailbox").read_bytes() == (
        b"From old Thu Jan 01 00:00:00 1970\n\ntorn\n\n"
        b"From MAILER-DAEMON Thu Jan 01 00:01:40 1970\nSubject: 1\n\n\n"
        b"From a-b@c Thu Jan 01 00:03:20 1970\nReturn-Path: <a b@c>\nSubject: 2\n\n>From me\nlast\n\n"
    )
    assert not [path for path in (place / "Maildir").rglob("*") if path.is_file()]
    assert not (place / "Mailbox.tmp").exists()


def test_without_messages_nothing_is_touched(place: Path) -> None:
    assert move(place).returncode == 0
    assert not (place / "Mailbox").exists()


def test_what_cannot_be_written_leaves_all_where_it_is(place: Path) -> None:
    put(place, "new/1", b"x\n", 100)
    (place / "Mailbox").write_bytes(b"old\n\n")
    done = move(place, MAILTMP="none/tmp")
    assert done.returncode == 111 and b"none/tmp: file does not exist" in done.stderr
    assert (place / "Mailbox").read_bytes() == b"old\n\n"
    assert (place / "Maildir/new/1").read_bytes() == b"x\n"


def test_what_deliveries_left_in_tmp_long_ago_goes(place: Path) -> None:
    put(place, "tmp/old", b"x", 100)
    (place / "Maildir/tmp/young").write_bytes(b"x")
    assert move(place).returncode == 0
    assert os.listdir(place / "Maildir/tmp") == ["young"]
