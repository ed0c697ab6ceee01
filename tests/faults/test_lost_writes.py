"""A disk that loses what it had taken: the error is heard by the message that it concerns, whoever synced first.

The disk is a file in a memory that has no more room for it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import needs_root
from qmail.rules import barriers
from qmail.stores.arrival import Arrival, Refused
from qmail.stores.door import Door
from qmail.stores.installation import create
from qmail.stores.queue import Queue

ROOM = 24 << 20  # bytes of memory for a disk that says it has more


class Disk:
    """A file system that can be made to lose what is written to it."""

    def __init__(self, place: Path) -> None:
        self.memory, self.top = place / "memory", place / "disk"
        self.memory.mkdir()
        self.top.mkdir()
        self.filler = self.memory / "filler"

    def __enter__(self) -> Disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", self.memory], check=True)
        image = self.memory / "image"
        with image.open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.top], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.top], check=True)
        subprocess.run(["umount", "-l", self.memory], check=True)

    def fill(self) -> None:
        """From now on nothing new reaches the disk."""
        os.sync()
        with self.filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 65536):
                    pass
            except OSError:
                pass

    def heal(self) -> None:
        """There is room again."""
        self.filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path) as one:
        yield one


def arriving(door: Door, size: int) -> Arrival:
    arrival = door.begin(100, alone=False)
    arrival.write([b"x" * size])
    return arrival


def committed(door: Door, whole: list[Arrival]) -> list[int | None]:
    for arrival in whole:
        arrival.envelope(b"u0\0p1\0Fa\0Tb\0")
    refusals: list[Refused | None] = door.commit(whole)
    for arrival, refused in zip(whole, refusals, strict=True):
        if refused is None:
            door.release([arrival])
    return [refused and refused.code for refused in refusals]


@needs_root
@pytest.mark.parametrize("rest", [0.0, barriers.AFTER_ERROR])
def test_what_was_lost_of_a_message_that_still_arrives_is_not_forgotten_when_it_is_whole(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, rest: float
) -> None:
    """A sync for others has heard of the error first; that of the message itself must hear of it, too."""
    monkeypatch.setattr(barriers, "AFTER_ERROR", rest)
    home = disk.top / "home"
    create(os.fsencode(home))
    door = Door(Queue(os.fsencode(home / "queue")))
    assert committed(door, [arriving(door, 10) for _ in range(3)]) == [None] * 3
    slow = arriving(door, 1 << 20)
    disk.fill()
    slow.write([b"y" * (4 << 20)])
    assert committed(door, [arriving(door, 10) for _ in range(3)]) == [53] * 3
    disk.heal()
    assert committed(door, [arriving(door, 10), arriving(door, 10), slow])[2] == 53
    assert committed(door, [arriving(door, 10) for _ in range(3)]) == [None] * 3
    os.close(door._whole._descriptor)
    # Nothing of it is left but what was accepted.
    assert len(list((home / "queue/todo").iterdir())) in (6, 8)
