"""How messages come into the queue: numbers, batches, and what is left when something fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import open_files
from qmail.formats import queuefile
from qmail.host import durable
from qmail.rules import barriers
from qmail.stores import arrival as arrivals
from qmail.stores import door as doors
from qmail.stores import queue as queues
from qmail.stores import whole as wholes
from qmail.stores.arrival import Arrival, Refused
from qmail.stores.door import Door
from qmail.stores.intake import Intake
from qmail.stores.queue import Queue
from submitting import files, kinds


@pytest.fixture
def door(home: Path) -> Door:
    return Door(Queue(os.fsencode(home / "queue")))


def arrived(door: Door, text: bytes = b"text\n") -> Arrival:
    arrival = door.begin(100, alone=False)
    arrival.write([b"Received: x\n", text])
    arrival.envelope(b"u0\0p1\0Fa\0Tb\0")
    return arrival


def accept(door: Door, count: int = 1) -> list[int | None]:
    """Bring so many messages in. For each the code it was refused with, or None."""
    codes: list[int | None] = []
    whole: list[Arrival] = []
    for _message in range(count):
        arrival = None
        try:
            arrival = door.begin(100, alone=False)
            arrival.write([b"Received: x\n", b"text\n"])
            arrival.envelope(b"u0\0p1\0Fa\0Tb\0")
            whole.append(arrival)
        except Refused as refused:
            codes.append(refused.code)
            if arrival is not None:
                arrival.drop()
    refusals = door.commit(whole) if whole else []
    for arrival, refused in zip(whole, refusals, strict=True):
        codes.append(refused.code if refused else None)
        if refused is None:
            door.release([arrival])
    return codes


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_batch_comes_in_whole(door: Door, home: Path, count: int) -> None:
    assert accept(door, count) == [None] * count
    assert kinds(home) == ["intd"] * count + ["mess"] * count + ["todo"] * count
    for name, content in files(home).items():
        kind, number = name.split("/")[0], int(name.split("/")[-1])
        assert name.encode() == queuefile.path(kind.encode(), number)
        assert content == (b"Received: x\ntext\n" if kind == "mess" else b"u0\0p1\0Fa\0Tb\0")
        mess = home / "queue" / os.fsdecode(queuefile.path(b"mess", number))
        assert mess.stat().st_ino == number


def test_the_note_tells_what_the_file_is(door: Door, home: Path) -> None:
    arrival = arrived(door)
    assert door.commit([arrival]) == [None]
    note = arrival.note()
    status = (home / "queue/todo" / str(note.number)).stat()
    assert (note.device, note.inode, note.size, note.ctime_ns) == (
        status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns,
    )  # fmt: skip
    assert note.todo == b"u0\0p1\0Fa\0Tb\0"
    assert note.mess_size == len(b"Received: x\ntext\n")
    door.release([arrival])


@pytest.mark.parametrize("kind", [b"todo", b"intd", b"mess"])
def test_a_number_whose_name_is_taken_is_stepped_over(door: Door, home: Path, kind: bytes) -> None:
    """An inode is free while an old name of its number still stands: it must not be used."""
    probe = door.begin(100, alone=False)
    number = probe.number
    probe.drop()
    taken = home / "queue" / os.fsdecode(queuefile.path(kind, number))
    taken.write_bytes(b"old")
    for _attempt in range(3):
        arrival = door.begin(100, alone=False)
        assert arrival.number != number
        arrival.drop()
    assert list(files(home).values()) == [b"old"]


def test_after_ten_taken_numbers_it_gives_up(door: Door, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "is_there", lambda path: True)
    before = open_files()
    with pytest.raises(Refused) as refused:
        door.begin(100, alone=False)
    assert refused.value.code == 65
    assert files(home) == {}
    assert open_files() == before


def test_a_message_is_locked_while_it_arrives(door: Door, home: Path) -> None:
    arrival = arrived(door)
    mess = door.queue.file(b"mess", arrival.number)
    assert queues.being_written(mess)
    assert door.commit([arrival]) == [None]
    door.release([arrival])
    assert not queues.being_written(mess)
    assert not queues.being_written(mess + b"0")


CALLS = ("create", "link", "remove", "sync", "sync_directory")
DURABLE = {name: getattr(durable, name) for name in CALLS}


class Faults:
    """Fails the nth of the calls that change the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int, code: int) -> None:
        self.left, self.name = nth, ""
        self.error = OSError(code, os.strerror(code))
        for name in CALLS:
            monkeypatch.setattr(durable, name, self.wrapped(name, DURABLE[name]))
        real = os.writev
        monkeypatch.setattr(arrivals, "_write_all", self.wrapped("write", lambda fd, pieces: real(fd, pieces)))

    def wrapped(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*words: object) -> object:
            self.left -= 1
            if self.left == 0:
                self.name = name
                raise self.error
            return call(*words)

        return counted


EXPECTED = {"create": {63, 65}, "write": {53}, "sync": {53}, "sync_directory": {53}, "link": {64, 66}, "remove": {63}}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EMFILE])
def test_whatever_call_fails_the_message_is_whole_or_gone(
    home: Path, monkeypatch: pytest.MonkeyPatch, count: int, code: int
) -> None:
    queue = Queue(os.fsencode(home / "queue"))
    descriptors = open_files()
    for nth in range(1, 100):
        door = Door(queue)
        os.close(door._whole._descriptor)
        with monkeypatch.context() as patch:
            faults = Faults(patch, nth, code)
            codes = accept(door, count)
        if not faults.name:
            break
        refused = [one for one in codes if one is not None]
        assert refused, f"call {nth}, {faults.name}, failed, and nobody was told"
        for one in refused:
            assert one in ({53} if code == errno.ENOSPC else EXPECTED[faults.name]), (nth, faults.name)
        # All that stays is whole: accepted, or linked where only the last sync failed.
        left = kinds(home)
        assert left.count("mess") == left.count("todo") == left.count("intd")
        assert left.count("todo") >= codes.count(None)
        assert left.count("todo") == codes.count(None) or faults.name == "sync_directory"
        assert "pid" not in left or faults.name == "remove"
        for name in files(home):
            (home / "queue" / name).unlink()
    assert nth > 10, "every call was visited"
    assert not faults.name
    assert open_files() == descriptors


def test_a_batch_whose_file_system_cannot_be_synced_is_refused_whole(
    door: Door, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(door._whole, "_syncfs", fails)
    assert accept(door, 3) == [53, 53, 53]
    assert files(home) == {}
    assert accept(door, 3) == [None] * 3, "now each file is asked for its own errors"


def test_after_a_slow_sync_of_everything_files_are_synced_one_by_one(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(door._whole, "_syncfs", calls.append)
    monkeypatch.setattr(barriers, "SLOW", -1.0)
    assert accept(door, 3) == [None] * 3
    assert accept(door, 3) == [None] * 3
    assert len(calls) == 1
    monkeypatch.setattr(wholes.clock, "monotonic", lambda: door._whole._rest._until)
    assert accept(door, 3) == [None] * 3
    assert len(calls) == 2


def test_the_queue_that_cannot_be_entered_is_told_from_the_directory_that_is_missing(door: Door, home: Path) -> None:
    (home / "queue/pid").rename(home / "queue/away")
    assert accept(door) == [63]
    (home / "queue").rename(home / "gone")
    assert accept(door) == [62]
    (home / "gone").rename(home / "queue")
    (home / "queue/away").rename(home / "queue/pid")
    for kind, code in (("mess", 64), ("intd", 65), ("todo", 66)):
        (home / "queue" / kind).rename(home / "queue/away")
        assert accept(door) == [code]
        (home / "queue/away").rename(home / "queue" / kind)
        assert files(home) == {}
    assert accept(door) == [None]


def test_the_split_is_read_from_the_tree(tmp_path: Path) -> None:
    assert queues.split(os.fsencode(tmp_path)) == 23
    for part in range(5):
        (tmp_path / "mess" / str(part)).mkdir(parents=True)
    (tmp_path / "mess/7").mkdir()
    assert queues.split(os.fsencode(tmp_path)) == 5


def test_while_much_waits_for_the_disks_files_are_synced_one_by_one(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(door._whole, "_syncfs", calls.append)
    monkeypatch.setattr(wholes, "LOOKS", 0.0)
    monkeypatch.setattr(wholes.dirty, "size", lambda: wholes.MUCH + 1)
    assert accept(door, 3) == [None] * 3
    assert calls == []
    monkeypatch.setattr(wholes.dirty, "size", lambda: wholes.MUCH)
    assert accept(door, 3) == [None] * 3
    assert len(calls) == 1


def test_which_way_is_quicker_for_one_message_is_tried(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(door._whole, "_syncfs", calls.append)
    assert [accept(door) for _ in range(barriers.EVERY)] == [[None]] * barriers.EVERY
    assert len(calls) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_who_had_begun_when_a_sync_of_a_directory_failed_is_refused_too(
    door: Door, home: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A name that its message had there already may be lost, and the next sync would not say so."""
    slow = arrived(door)

    def fails(*_words: object) -> None:
        raise OSError(errno.EIO, "x")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync_directory", fails)
        patch.setattr(door._whole, "_syncfs", fails)
        assert accept(door, count) == [53] * count
    fresh = arrived(door)
    refusals = door.commit([slow, fresh])
    assert [refused and refused.code for refused in refusals] == [53, None]
    door.release([fresh])
    assert kinds(home) == ["intd", "mess", "todo"]


def test_of_a_large_message_the_disk_is_asked_to_begin_early(
    door: Door, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = durable.begin_writing

    def begins(descriptor: int) -> None:
        asked.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(durable, "begin_writing", begins)
    piece = b"x" * 2**20
    intake = Intake(b"Received: x\n", 0, 1, 0.0, alone=False)
    for _ in range(10):
        arrival = intake.put(door, [piece], [])
    intake.put(door, [], [b"Fa\0Tb\0\0"])
    assert door.commit([arrival]) == [None]
    assert [size >> 20 for size in asked] == [4, 9]
    (text,) = [text for name, text in files(home).items() if name.startswith("mess/")]
    assert text == b"Received: x\n" + piece * 10


def test_to_ask_the_disk_to_begin_never_fails(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    durable.begin_writing(writer)
    os.close(reader)
    os.close(writer)
    durable.begin_writing(writer)
