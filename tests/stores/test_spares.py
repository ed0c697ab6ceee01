"""Spare envelopes: which files are used again, when, and which never."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import open_files
from qmail.host import durable
from qmail.stores import spares
from qmail.stores.door import Door
from qmail.stores.queue import Queue

TEXT = b"u0\0p1\0Fa\0Tb\0"


@pytest.fixture
def root(home: Path) -> Path:
    return home / "queue"


@pytest.fixture
def door(root: Path) -> Door:
    """One that has a spare file: its first message had none, and another one was made for the next."""
    door = Door(Queue(os.fsencode(root)))
    gone(root, bring(door))
    door.spares.stock()
    assert len(list((root / "spare").iterdir())) == 1
    return door


def bring(door: Door, envelope: bytes = TEXT, *, alone: bool = False) -> int:
    """A message comes in; returns its number."""
    arrival = door.begin(alone=alone)
    arrival.write([b"Received: x\n"])
    arrival.envelope(envelope)
    assert door.commit([arrival]) == [None]
    door.release([arrival])
    return arrival.number


def gone(root: Path, number: int, *, message: bool = True) -> None:
    """What qmail-clean does with a message, or all but the last of it."""
    (root / f"todo/{number}").unlink()
    (root / f"intd/{number}").unlink(missing_ok=True)
    if message:
        (root / f"mess/{number % 23}/{number}").unlink()


def spare(root: Path) -> Path:
    (path,) = (root / "spare").iterdir()
    return path


@pytest.mark.parametrize("old", [TEXT[:8] + b"\0", TEXT, TEXT + b"Tmore\0" * 100])
def test_a_spare_file_becomes_an_envelope_and_nothing_of_the_old_one_stays(root: Path, door: Door, old: bytes) -> None:
    file = spare(root)
    first = bring(door, old)
    assert (root / f"todo/{first}").samefile(file)
    assert not (root / f"intd/{first}").exists()
    gone(root, first)
    second = bring(door)
    assert (root / f"todo/{second}").samefile(file)
    assert (root / f"todo/{second}").read_bytes() == TEXT


def test_an_envelope_is_nobody_elses_before_its_message_is_gone(root: Path, door: Door) -> None:
    file = spare(root)
    first = bring(door, b"u0\0p1\0Fa\0Tfirst\0")
    for _ in range(20):
        other = bring(door)
        assert not (root / f"todo/{other}").samefile(file)
        gone(root, other)
    assert (root / f"todo/{first}").read_bytes() == b"u0\0p1\0Fa\0Tfirst\0"
    # Its removal from todo/ may still come back: qmail-send has the message removed only when it cannot.
    gone(root, first, message=False)
    for _ in range(20):
        other = bring(door)
        assert not (root / f"todo/{other}").samefile(file)
        gone(root, other)
    (root / f"mess/{first % 23}/{first}").unlink()
    assert any((root / f"todo/{bring(door)}").samefile(file) for _ in range(3))


def test_that_of_a_message_that_stays_is_given_up_once_it_has_files_of_its_own(
    root: Path, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "PATIENCE", 0.0)
    file = spare(root)
    first = bring(door)
    gone(root, bring(door))
    assert file.exists(), "it is in todo/ still"
    gone(root, first, message=False)
    gone(root, bring(door))
    assert not file.exists()


@pytest.mark.parametrize("what", ["linked", "large", "removed"])
def test_a_file_that_may_be_somebodys_is_not_used_again(root: Path, door: Door, what: str) -> None:
    file = spare(root)
    text = TEXT + (b"T" + b"x" * 4000 + b"\0") * 2 if what == "large" else TEXT
    first = bring(door, text)
    if what == "linked":
        (root.parent / "copy").hardlink_to(root / f"todo/{first}")
    elif what == "removed":
        file.unlink()
    gone(root, first)
    second = bring(door)
    assert (root / f"intd/{second}").samefile(root / f"todo/{second}")
    assert not file.exists()
    if what == "linked":
        assert (root.parent / "copy").read_bytes() == text


def test_what_a_crash_left_is_never_used(root: Path, door: Door) -> None:
    number = bring(door, b"u0\0p1\0Fa\0Told\0")
    assert spare(root)
    again = Door(Queue(os.fsencode(root)))
    assert list((root / "spare").iterdir()) == []
    gone(root, bring(again))
    assert (root / f"todo/{number}").read_bytes() == b"u0\0p1\0Fa\0Told\0"


def test_a_program_of_one_message_gets_the_files_of_qmail_queue(root: Path, door: Door) -> None:
    number = bring(door, alone=True)
    assert (root / f"intd/{number}").samefile(root / f"todo/{number}")


def test_a_number_with_an_old_envelope_is_not_taken(root: Path, door: Door) -> None:
    probe = door.begin(alone=False)
    taken = probe.number
    probe.drop()
    (root / f"intd/{taken}").write_bytes(b"of an earlier message")
    number = bring(door)
    assert (root / f"intd/{taken}").read_bytes() == b"of an earlier message"
    assert number != taken


def test_a_message_that_is_refused_takes_its_spare_file_along(root: Path, door: Door) -> None:
    before = open_files()
    arrival = door.begin(alone=False)
    arrival.envelope(TEXT)
    arrival.drop()
    assert list((root / "spare").iterdir()) == []
    assert open_files() == before - 1


def test_a_bad_envelope_is_left_where_qmail_queue_leaves_it(root: Path, door: Door) -> None:
    arrival = door.begin(alone=False)
    arrival.write([b"x\n"])
    arrival.envelope(b"Fa\0")
    arrival.leave()
    assert (root / f"intd/{arrival.number}").read_bytes() == b"Fa\0"
    assert list((root / "spare").iterdir()) == []


def test_a_link_that_fails_takes_the_file_out_of_use(root: Path, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(source: bytes, target: bytes) -> None:
        if b"/todo/" in target:
            raise PermissionError
        os.link(source, target)

    monkeypatch.setattr(durable, "link", fails)
    arrival = door.begin(alone=False)
    arrival.write([b"x\n"])
    arrival.envelope(TEXT)
    (refused,) = door.commit([arrival])
    assert refused is not None
    assert refused.code == 66
    assert list((root / "spare").iterdir()) == []


def test_there_are_no_more_than_there_may_be(root: Path, door: Door) -> None:
    door.spares.most = 3
    for _ in range(10):
        bring(door)
        door.spares.stock()
    assert len(list((root / "spare").iterdir())) == 3


def test_without_a_place_for_them_everything_works(root: Path) -> None:
    (root / "spare").rmdir()
    (root / "spare").write_bytes(b"")
    door = Door(Queue(os.fsencode(root)))
    for _ in range(3):
        gone(root, bring(door))
        door.spares.stock()


def test_who_begins_before_a_message_was_told_of_does_not_get_its_envelope(root: Path, door: Door) -> None:
    """qmail-send may have found it in todo/, and be done with it, while its batch was being answered."""
    first = door.begin(alone=False)
    first.write([b"x\n"])
    first.envelope(TEXT)
    assert door.commit([first]) == [None]
    gone(root, first.number)
    second = door.begin(alone=False)
    door.release([first])
    second.write([b"y\n"])
    second.envelope(b"u0\0p1\0Fa\0Tsecond\0")
    assert door.commit([second]) == [None]
    door.release([second])
    assert (root / f"todo/{second.number}").read_bytes() == b"u0\0p1\0Fa\0Tsecond\0"


def test_a_message_nobody_can_look_for_is_not_gone(root: Path, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    file = spare(root)
    first = bring(door)
    gone(root, first, message=False)
    real = os.lstat

    def fails(path: bytes) -> os.stat_result:
        if path.endswith(b"/%d" % first) and b"/mess/" in path:
            raise OSError(5, "no")
        return real(path)

    monkeypatch.setattr(os, "lstat", fails)
    second = bring(door)
    assert not (root / f"todo/{second}").samefile(file)
    assert file.exists()


def test_on_another_disk_than_todo_there_are_none(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = durable.link

    def elsewhere(source: bytes, target: bytes) -> None:
        if b"/spare/" in source:
            raise OSError(18, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(durable, "link", elsewhere)
    door = Door(Queue(os.fsencode(root)))
    for _ in range(4):
        gone(root, bring(door))
        door.spares.stock()
    assert list((root / "spare").iterdir()) == []


def test_those_in_use_are_counted_too(root: Path, door: Door) -> None:
    door.spares.most = 3
    slow = []
    for _ in range(10):
        slow.append(door.begin(alone=False))
        door.spares.stock()
    assert door.spares.count == len(list((root / "spare").iterdir())) == 3
    for arrival in slow:
        arrival.drop()
    assert door.spares.count == len(list((root / "spare").iterdir())) == 0


def test_after_a_failed_sync_others_are_made(root: Path, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    gone(root, bring(door))
    file = spare(root)
    assert door.begin(alone=False).file.path == os.fsencode(file)
    for _ in range(2):
        door.begin(alone=False).drop()
    door.spares.stock()
    assert len(list((root / "spare").iterdir())) == 3
    door.spares.clear_out()
    assert list((root / "spare").iterdir()) == [file]


def test_of_an_earlier_envelope_nothing_is_left_with_a_bad_one(root: Path, door: Door) -> None:
    gone(root, bring(door, b"u0\0p1\0Fsecret\0Tsecret\0"))
    arrival = door.begin(alone=False)
    assert arrival.file.old
    arrival.envelope(b"Fa\0")
    arrival.leave()
    assert (root / f"intd/{arrival.number}").read_bytes() == b"Fa\0"
