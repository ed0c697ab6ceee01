"""info, local, remote and bounce: whole and durable, or as if nothing had been written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import open_files
from qmail.host import durable
from qmail.stores import deliverystate
from qmail.stores.deliverystate import DeliveryState, Prepared, Trouble
from qmail.stores.queue import Queue

NUMBER = 1000000


@pytest.fixture
def queue(home: Path) -> Queue:
    return Queue(os.fsencode(home / "queue"))


@pytest.fixture
def state(queue: Queue) -> DeliveryState:
    return DeliveryState(queue)


def message(number: int = NUMBER) -> Prepared:
    return Prepared(number, b"Fs@x\0", (b"Ta@x\0Db@x\0", b"Tc@y\0"), b"<b@x>:\nno\n\n")


def files(queue: Queue) -> dict[str, bytes]:
    top = Path(os.fsdecode(queue.root))
    kinds = ("info", "local", "remote", "bounce", "bad")
    found = {
        path.relative_to(top): path.read_bytes() for kind in kinds for path in (top / kind).rglob("*") if path.is_file()
    }
    return {f"{path.parts[0]}/{path.name}": text for path, text in found.items()}


WRITTEN = {
    f"info/{NUMBER}": b"Fs@x\0",
    f"local/{NUMBER}": b"Ta@x\0Db@x\0",
    f"remote/{NUMBER}": b"Tc@y\0",
    f"bounce/{NUMBER}": b"<b@x>:\nno\n\n",
}


def test_what_is_prepared_replaces_whatever_stood_there(state: DeliveryState, queue: Queue) -> None:
    assert state.prepare([Prepared(NUMBER, b"Fold@x\0", (b"Told@x\0", b"Told@y\0"), b"old")]) == {}
    assert state.prepare([message()]) == {}
    assert files(queue) == WRITTEN
    assert state.prepare([Prepared(NUMBER, b"F\0", (b"", b"Tc@y\0"), b"")]) == {}
    assert files(queue) == {f"info/{NUMBER}": b"F\0", f"remote/{NUMBER}": b"Tc@y\0"}


class Faults:
    """Makes the nth call of some functions fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        self.nth = self.calls = 0
        self.failed = ""
        self.code = code
        for module, name in (
            (durable, "create"),
            (durable, "sync"),
            (durable, "sync_directory"),
            (durable, "remove"),
            (durable, "open_update"),
            (durable, "open_append"),
            (os, "write"),
            (os, "pwrite"),
            (os, "utime"),
        ):
            monkeypatch.setattr(module, name, self.wrapped(name, getattr(module, name)))

    def wrapped(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*words: object, **more: object) -> object:
            self.calls += 1
            if self.calls == self.nth:
                self.failed = name
                raise OSError(self.code, os.strerror(self.code))
            return function(*words, **more)

        return call


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_whatever_fails_while_preparing_is_told_and_the_next_attempt_is_whole(
    state: DeliveryState, queue: Queue, monkeypatch: pytest.MonkeyPatch, count: int, code: int
) -> None:
    faults = Faults(monkeypatch, code)
    batch = [message(NUMBER + at) for at in range(count)]
    descriptors = open_files()
    while True:
        faults.nth += 1
        faults.calls, faults.failed = 0, ""
        troubles = state.prepare(batch)
        if not faults.failed:
            break
        assert troubles, f"{faults.failed} failed, and nothing was said"
        assert all(trouble.text.split(b" ")[0] in (b"unable", b"trouble") for trouble in troubles.values())
        good = [one for one in batch if one.number not in troubles]
        assert len(good) == count - 1 or faults.failed == "sync_directory" or not good
        faults.calls = 1000
        assert state.prepare(batch) == {}
        written = files(queue)
        assert len(written) == 4 * count
        assert {name: text for name, text in written.items() if name.endswith(str(NUMBER))} == WRITTEN
    assert faults.nth > 12
    assert open_files() == descriptors


def test_marks_are_made_in_place_and_reach_the_disk_together(state: DeliveryState, queue: Queue) -> None:
    state.prepare([message()])
    assert not state.marks_wait()
    state.mark(0, NUMBER, 0)
    state.mark(1, NUMBER, 0)
    assert state.marks_wait()
    assert files(queue)[f"local/{NUMBER}"] == b"Da@x\0Db@x\0"
    assert files(queue)[f"remote/{NUMBER}"] == b"Dc@y\0"
    state.sync_marks()
    assert not state.marks_wait()


def test_no_more_than_64_marked_files_wait_for_the_disk(state: DeliveryState, queue: Queue) -> None:
    numbers = range(NUMBER, NUMBER + 70)
    state.prepare([message(number) for number in numbers])
    descriptors = open_files()
    for number in numbers:
        state.mark(0, number, 0)
        assert open_files() <= descriptors + deliverystate.MARKS
    state.sync_marks()
    assert open_files() == descriptors


def test_a_mark_that_cannot_be_made_says_what_will_happen(state: DeliveryState) -> None:
    with pytest.raises(Trouble) as trouble:
        state.mark(0, NUMBER, 0)
    assert trouble.value.text == b"trouble marking local/6/1000000; message will be delivered twice!"


def test_a_failure_that_cannot_be_recorded_is_told(
    state: DeliveryState, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(monkeypatch, errno.ENOSPC)
    while True:
        faults.nth += 1
        faults.calls, faults.failed = 0, ""
        try:
            state.record_failures(NUMBER, b"<x>:\nno\n\n")
        except Trouble:
            assert faults.failed
            continue
        break
    assert faults.nth > 3
    assert files(queue)[f"bounce/{NUMBER}"].endswith(b"<x>:\nno\n\n")


def test_a_number_is_not_given_back_when_the_names_may_return(
    state: DeliveryState, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.prepare([message()])
    faults = Faults(monkeypatch, errno.EIO)
    state.remove(b"info", NUMBER)
    faults.nth = faults.calls + 1
    assert not state.sync_names()
    assert faults.failed == "sync_directory"
    assert state.sync_names(), "once it works again"
    assert f"info/{NUMBER}" not in files(queue)
    assert os.listdir(queue.root + b"/info/6") == []


@pytest.mark.parametrize("text", [b"", b"F", b"Xs@x\0", b"s@x\0", b"\0"])
def test_an_info_file_that_makes_no_sense_is_corrupt(state: DeliveryState, queue: Queue, text: bytes) -> None:
    Path(os.fsdecode(queue.file(b"info", NUMBER))).write_bytes(text)
    with pytest.raises(deliverystate.Corrupt):
        state.info(NUMBER)


def test_recipients_are_read_in_pieces_with_their_places(state: DeliveryState, queue: Queue) -> None:
    path = Path(os.fsdecode(queue.file(b"local", NUMBER)))
    records = [(b"T" if at % 3 else b"D") + b"user%d@x" % at + b"\0" for at in range(20000)]
    path.write_bytes(b"".join(records))
    reader = state.recipients(0, NUMBER)
    found = []
    while (one := reader.next()) is not None:
        found.append(one)
    reader.close()
    assert not reader.torn
    assert [recipient for _, recipient in found] == [b"user%d@x" % at for at in range(20000) if at % 3]
    text = path.read_bytes()
    assert all(text[at : at + 1 + len(recipient)] == b"T" + recipient for at, recipient in found)
