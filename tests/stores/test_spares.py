"""Spares: which files are used again, when, and which never."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import open_files
from qmail.host import clock, durable, locks
from qmail.stores import spares
from qmail.stores.arrivingfile import File
from qmail.stores.door import Door
from qmail.stores.queue import Queue

TEXT = b"u0\0p1\0Fa\0Tb\0"


@pytest.fixture
def root(home: Path) -> Path:
    return home / "queue"


@pytest.fixture
def door(root: Path) -> Door:
    """One that has a spare: its first message had none, and one was made for the next."""
    door = Door(Queue(os.fsencode(root)))
    gone(root, bring(door))
    door.spares.stock()
    assert len(list((root / "spare").iterdir())) == 2
    return door


def bring(door: Door, envelope: bytes = TEXT, text: bytes = b"x\n", *, alone: bool = False) -> int:
    """A message comes in; returns its number."""
    arrival = door.begin(len(text) + 12, alone=alone)
    arrival.write([b"Received: x\n", text])
    arrival.envelope(envelope)
    assert door.commit([arrival]) == [None]
    door.release([arrival])
    return arrival.number


def mess(root: Path, number: int) -> Path:
    return root / f"mess/{number % 23}/{number}"


def gone(root: Path, number: int, *, message: bool = True) -> None:
    """What qmail-clean does with a message, or all but the last of it."""
    (root / f"todo/{number}").unlink()
    (root / f"intd/{number}").unlink(missing_ok=True)
    if message:
        (root / f"mess/{number % 23}/{number}").unlink()


def spare(root: Path) -> tuple[Path, Path]:
    """Its files: for the message, and for the envelope."""
    message, envelope = sorted((root / "spare").iterdir())
    return message, envelope


def serves(root: Path, files: tuple[Path, Path], number: int) -> bool:
    """Are these the files of this message?"""
    found = [mess(root, number).samefile(files[0]), (root / f"todo/{number}").samefile(files[1])]
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("old", [TEXT[:8] + b"\0", TEXT, TEXT + b"Tmore\0" * 100], ids=["short", "equal", "long"])
@pytest.mark.parametrize("text", [b"", b"y\n", b"y\n" * 2000], ids=["short", "equal", "long"])
def test_a_spare_serves_the_next_message_and_nothing_of_the_old_one_stays(
    root: Path, door: Door, old: bytes, text: bytes
) -> None:
    files = spare(root)
    first = bring(door, old, text)
    assert serves(root, files, first)
    assert not (root / f"intd/{first}").exists()
    assert mess(root, first).read_bytes() == b"Received: x\n" + text
    gone(root, first)
    second = bring(door)
    assert serves(root, files, second)
    assert second == first == mess(root, second).stat().st_ino
    assert (root / f"todo/{second}").read_bytes() == TEXT
    assert mess(root, second).read_bytes() == b"Received: x\nx\n"


def test_a_message_gets_a_file_with_as_many_blocks_as_it_needs(root: Path, door: Door) -> None:
    """To give blocks back and find others costs nearly as much as a new file."""
    door.spares.most = 2
    small = bring(door, text=b"x\n" * 100)
    large = bring(door, text=b"x\n" * 10_000)
    door.spares.stock()
    gone(root, large)
    large = bring(door, text=b"x\n" * 10_000)
    for number in (small, large):
        gone(root, number)
    for text, number in ((b"y\n" * 9_500, large), (b"y\n" * 1000, small), (b"z\n" * 10_200, large)):
        assert bring(door, text=text) == number
        assert mess(root, number).read_bytes() == b"Received: x\n" + text
        gone(root, number)
    # Where there may be no more of them, one of another size is taken, which has that size from then on.
    for text in (b"y\n" * 4000, b"y\n" * 4050):
        number = bring(door, text=text)
        assert mess(root, number).read_bytes() == b"Received: x\n" + text
        assert number in (small, large)
        gone(root, number)
    assert door.spares.count == 2


def test_a_large_message_gets_none(root: Path, door: Door) -> None:
    """How large it will be is not known when it begins."""
    files = spare(root)
    assert not serves(root, files, bring(door, text=b"x" * spares.LARGEST))
    assert spare(root) == files


def test_nobody_else_may_open_the_file_of_a_message(root: Path, door: Door) -> None:
    """Not by its name in /proc either, which a program has that was given the file."""
    number = bring(door)
    status = mess(root, number).stat()
    assert (status.st_mode & 0o7777, status.st_gid) == (0o640, (root / "mess").stat().st_gid)
    assert mess(root, bring(door, alone=True)).stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("how", ["open", "in another process", "on its way", "mapped"])
def test_a_file_that_somebody_has_open_is_not_written_to(root: Path, door: Door, how: str) -> None:
    files = spare(root)
    first = bring(door, text=b"secret\n")
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(mess(root, first).open("rb"))
        if how == "in another process":
            sleeper = stack.enter_context(subprocess.Popen(["sleep", "60"], stdin=file))
            stack.callback(sleeper.kill)
        elif how == "on its way":
            ours, theirs = socket.socketpair()
            stack.callback(ours.close)
            stack.callback(theirs.close)
            socket.send_fds(ours, [b"x"], [file.fileno()])
        elif how == "mapped":
            stack.enter_context(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        if how != "open":
            file.close()
        gone(root, first)
        for _ in range(5):
            second = bring(door)
            assert second != first
            gone(root, second)
        assert files[0].read_bytes().endswith(b"secret\n")
    assert any(serves(root, files, bring(door)) for _ in range(3)), "nobody has it open any more"


def test_a_spare_is_nobody_elses_before_its_message_is_gone(root: Path, door: Door) -> None:
    files = spare(root)
    envelope = b"u0\0p1\0Fa\0Tfirst\0"
    first = bring(door, envelope, b"first\n")
    for _ in range(20):
        other = bring(door)
        assert not serves(root, files, other)
        gone(root, other)
    assert (root / f"todo/{first}").read_bytes() == envelope
    # Its removal from todo/ may still come back: qmail-send has the message removed only when it cannot.
    gone(root, first, message=False)
    for _ in range(20):
        other = bring(door)
        assert not serves(root, files, other)
        gone(root, other)
    assert mess(root, first).read_bytes() == b"Received: x\nfirst\n"
    mess(root, first).unlink()
    assert any(serves(root, files, bring(door)) for _ in range(3))


def test_that_of_a_message_that_stays_is_given_up_once_it_has_files_of_its_own(
    root: Path, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "PATIENCE", 0.0)
    files = spare(root)
    first = bring(door)
    gone(root, bring(door))
    assert all(file.exists() for file in files), "it is in todo/ still"
    gone(root, first, message=False)
    gone(root, bring(door))
    assert not any(file.exists() for file in files)
    assert mess(root, first).read_bytes() == b"Received: x\nx\n"


def test_what_nobody_needs_for_long_goes(root: Path, door: Door) -> None:
    free = spare(root)
    before = open_files()
    now = clock.monotonic()
    door.spares.tidy(now + spares.IDLE - 1)
    assert spare(root) == free
    door.spares.tidy(now + spares.IDLE + 1)
    assert list((root / "spare").iterdir()) == []
    assert (door.spares.count, open_files()) == (0, before - 2)
    gone(root, bring(door))
    door.spares.stock()
    number = bring(door)
    door.spares.tidy(clock.monotonic() + spares.IDLE + 1)
    assert list((root / "spare").iterdir()) == []
    assert (root / f"todo/{number}").read_bytes() == TEXT
    assert mess(root, number).read_bytes() == b"Received: x\nx\n"


@pytest.mark.parametrize("what", ["linked", "removed", "many"])
@pytest.mark.parametrize("which", [0, 1])
def test_files_that_may_be_somebodys_are_not_used_again(
    root: Path, door: Door, what: str, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "PATIENCE", 0.0)
    files = spare(root)
    first = bring(door, TEXT + b"Tx\0" * (spares.LARGEST // 3 if what == "many" else 1))
    if what == "linked":
        (root.parent / "copy").hardlink_to(files[which])
        content = files[which].read_bytes()
    elif what == "removed":
        files[which].unlink()
    gone(root, first)
    second = bring(door)
    assert (root / f"intd/{second}").samefile(root / f"todo/{second}")
    door.spares.tidy(clock.monotonic() + (spares.IDLE + 1 if what == "linked" else 0))
    assert not any(file.exists() for file in files)
    assert door.spares.count == 0
    if what == "linked":
        assert (root.parent / "copy").read_bytes() == content


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


@pytest.mark.parametrize("kind", ["intd", "todo", "mess"])
def test_a_spare_whose_number_an_old_file_has_is_not_made(
    root: Path, door: Door, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.lstat

    def there(path: bytes) -> os.stat_result:
        return real(root if f"/{kind}/" in os.fsdecode(path) else path)

    bring(door)
    before = spare(root)
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", there)
        door.spares.take(100)
        door.spares.stock()
    assert spare(root) == before
    door.spares.take(100)
    door.spares.stock()
    assert len(list((root / "spare").iterdir())) == 4


def test_what_stands_where_a_message_would_be_is_left_alone(root: Path, door: Door) -> None:
    files = spare(root)
    taken = files[0].stat().st_ino
    mess(root, taken).write_bytes(b"of an earlier message")
    assert bring(door) != taken
    assert mess(root, taken).read_bytes() == b"of an earlier message"
    assert not any(file.exists() for file in files)


@pytest.mark.parametrize("whole", [True, False])
def test_who_empties_the_place_of_spares_hurts_nobody(root: Path, door: Door, whole: bool) -> None:
    files = spare(root)
    first = bring(door, text=b"first\n")
    for file in files if whole else files[:1]:
        file.unlink()
    assert bring(door) != first
    assert mess(root, first).read_bytes() == b"Received: x\nfirst\n"
    assert (root / f"todo/{first}").read_bytes() == TEXT
    gone(root, first)
    bring(door)
    assert door.spares.count * 2 == len(list((root / "spare").iterdir()))


def test_a_message_that_is_refused_takes_its_spare_file_along(root: Path, door: Door) -> None:
    before = open_files()
    arrival = door.begin(100, alone=False)
    arrival.envelope(TEXT)
    arrival.drop()
    assert list((root / "spare").iterdir()) == []
    assert open_files() == before - 2
    assert not mess(root, arrival.number).exists()


def test_a_bad_envelope_is_left_where_qmail_queue_leaves_it(root: Path, door: Door) -> None:
    arrival = door.begin(100, alone=False)
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
    arrival = door.begin(100, alone=False)
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
    assert len(list((root / "spare").iterdir())) == 6


def test_without_a_place_for_them_everything_works(root: Path) -> None:
    (root / "spare").rmdir()
    (root / "spare").write_bytes(b"")
    door = Door(Queue(os.fsencode(root)))
    for _ in range(3):
        gone(root, bring(door))
        door.spares.stock()


def test_who_begins_before_a_message_was_told_of_does_not_get_its_envelope(root: Path, door: Door) -> None:
    """qmail-send may have found it in todo/, and be done with it, while its batch was being answered."""
    first = door.begin(100, alone=False)
    first.write([b"x\n"])
    first.envelope(TEXT)
    assert door.commit([first]) == [None]
    gone(root, first.number)
    second = door.begin(100, alone=False)
    door.release([first])
    second.write([b"y\n"])
    second.envelope(b"u0\0p1\0Fa\0Tsecond\0")
    assert door.commit([second]) == [None]
    door.release([second])
    assert (root / f"todo/{second.number}").read_bytes() == b"u0\0p1\0Fa\0Tsecond\0"


def test_a_message_nobody_can_look_for_is_not_gone(root: Path, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    files = spare(root)
    first = bring(door)
    gone(root, first)

    def fails(_file: File) -> int:
        raise OSError(5, "no")

    with monkeypatch.context() as patch:
        patch.setattr(File, "names", fails)
        assert bring(door) != first
    assert all(file.exists() for file in files)
    assert serves(root, files, bring(door))


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


def test_where_nobody_can_tell_who_has_a_file_open_there_are_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "opened_by_nobody_else", lambda _descriptor: False)
    door = Door(Queue(os.fsencode(root)))
    for _ in range(4):
        gone(root, bring(door))
        door.spares.stock()
    assert list((root / "spare").iterdir()) == []


def test_where_programs_get_the_files_themselves_there_are_none(root: Path) -> None:
    ours = True
    door = Door(Queue(os.fsencode(root)), lambda: ours)
    gone(root, bring(door))
    door.spares.stock()
    number = bring(door)
    gone(root, bring(door))
    door.spares.stock()
    ours = False
    door.spares.tidy(clock.monotonic())
    assert list((root / "spare").iterdir()) == []
    assert mess(root, number).read_bytes() == b"Received: x\nx\n"
    for _ in range(3):
        gone(root, bring(door))
        door.spares.stock()
    assert list((root / "spare").iterdir()) == []


def test_those_in_use_are_counted_too(root: Path, door: Door) -> None:
    door.spares.most = 3
    slow = []
    for _ in range(10):
        slow.append(door.begin(100, alone=False))
        door.spares.stock()
    assert door.spares.count * 2 == len(list((root / "spare").iterdir())) == 6
    for arrival in slow:
        arrival.drop()
    assert door.spares.count == len(list((root / "spare").iterdir())) == 0


def test_after_a_failed_sync_others_are_made(root: Path, door: Door) -> None:
    files = spare(root)
    slow = door.begin(100, alone=False)
    for _ in range(2):
        door.begin(100, alone=False).drop()
    door.spares.stock()
    assert len(list((root / "spare").iterdir())) == 6
    door.spares.clear_out()
    assert spare(root) == files
    slow.drop()


def test_of_an_earlier_envelope_nothing_is_left_with_a_bad_one(root: Path, door: Door) -> None:
    gone(root, bring(door, b"u0\0p1\0Fsecret\0Tsecret\0"))
    arrival = door.begin(100, alone=False)
    assert arrival.records.old
    arrival.envelope(b"Fa\0")
    arrival.leave()
    assert (root / f"intd/{arrival.number}").read_bytes() == b"Fa\0"
