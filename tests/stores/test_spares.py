"""Spare envelopes: which files are kept, taken, and never taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qmail.stores.door import Door
from qmail.stores.queue import Queue
from qmail.stores.spares import LARGEST, Shelf, Spares


@pytest.fixture
def root(home: Path) -> Path:
    return home / "queue"


def kept(root: Path, text: bytes) -> int:
    """Have a file kept that says this; returns its inode."""
    path = root / "intd/7"
    path.write_bytes(text)
    inode = path.stat().st_ino
    Shelf(os.fsencode(root)).keep(os.fsencode(path))
    assert not path.exists()
    return inode


def bring(door: Door, envelope: bytes) -> int:
    """A message comes in; returns its number."""
    arrival = door.begin()
    arrival.write([b"Received: x\n"])
    arrival.envelope(envelope)
    assert door.commit([arrival]) == [None]
    arrival.close()
    return arrival.number


@pytest.mark.parametrize("old", [b"", b"short", b"u0\0p1\0Fa\0Tb\0" + b"Tmore\0" * 100])
def test_a_spare_file_becomes_an_envelope_and_nothing_of_the_old_one_stays(root: Path, old: bytes) -> None:
    door = Door(Queue(os.fsencode(root)))
    inode = kept(root, old)
    number = bring(door, b"u0\0p1\0Fa\0Tb\0")
    assert (root / f"todo/{number}").read_bytes() == b"u0\0p1\0Fa\0Tb\0"
    assert (root / f"todo/{number}").stat().st_ino == inode
    assert list((root / "spare").iterdir()) == []


def test_what_a_crash_left_is_never_used(root: Path) -> None:
    inode = kept(root, b"old")
    door = Door(Queue(os.fsencode(root)))
    assert list((root / "spare").iterdir()) == []
    number = bring(door, b"u0\0p1\0Fa\0Tb\0")
    kept(root, b"another")
    assert (root / f"todo/{number}").read_bytes() == b"u0\0p1\0Fa\0Tb\0"
    assert inode


@pytest.mark.parametrize("what", ["linked", "large", "link", "directory"])
def test_a_file_that_may_be_somebodys_is_left_alone(root: Path, what: str) -> None:
    spares = Spares(os.fsencode(root))
    live = root / "todo/5"
    live.write_bytes(b"x" * (LARGEST + 1) if what == "large" else b"live")
    name = root / "spare/1"
    if what == "linked":
        name.hardlink_to(live)
    elif what == "link":
        name.symlink_to(live)
    elif what == "directory":
        name.mkdir()
    else:
        live.rename(name)
    assert spares.take() is None
    if what in ("linked", "link"):
        assert live.read_bytes() == b"live"


def test_a_number_with_an_old_envelope_is_not_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(Queue(os.fsencode(root)))
    kept(root, b"old")
    first = door.begin()
    taken = first.number
    first.drop()
    (root / f"intd/{taken}").write_bytes(b"of an earlier message")
    kept(root, b"old")
    number = bring(door, b"u0\0p1\0Fa\0Tb\0")
    assert (root / f"intd/{taken}").read_bytes() == b"of an earlier message"
    assert number != taken or not (root / f"intd/{taken}").samefile(root / f"todo/{number}")


def test_without_a_place_for_them_everything_works(root: Path) -> None:
    (root / "spare").rmdir()
    (root / "spare").write_bytes(b"")
    door = Door(Queue(os.fsencode(root)))
    kept(root, b"old")
    assert bring(door, b"u0\0p1\0Fa\0Tb\0") > 0
