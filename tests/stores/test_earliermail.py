"""What an earlier qmail-send has left comes part by part."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qmail.rules.retry import AFTER_TROUBLE
from qmail.rules.schedule import Schedule
from qmail.stores.deliverystate import DeliveryState
from qmail.stores.earliermail import EarlierMail
from qmail.stores.queue import Queue

NOW, LATEST = 1_000_000, 2_000_000


class Left:
    """A queue with messages in it, and whoever takes them over."""

    def __init__(self, home: Path) -> None:
        self.queue = Queue(os.fsencode(home / "queue"))
        self.due, self.finished = (Schedule(), Schedule()), Schedule()
        self.said: list[bytes] = []
        self.held: set[int] = set()

    def message(self, number: int, *, local: int | None = None, remote: int | None = None) -> None:
        """`local`, `remote`: when its next attempts are."""
        for kind, when in ((b"info", NOW), (b"local", local), (b"remote", remote)):
            if when is not None:
                path = self.queue.file(kind, number)
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
                os.utime(path, (when, when))

    def taken_over(self, *known: int) -> EarlierMail:
        return EarlierMail(
            DeliveryState(self.queue), self.due, self.finished, known, self.held.__contains__, self.said.append
        )

    def found(self) -> tuple[dict[int, int], dict[int, int], set[int]]:
        local, remote = ({number: when for when, number in schedule} for schedule in self.due)
        return local, remote, {number for _, number in self.finished}


@pytest.fixture
def left(home: Path) -> Left:
    return Left(home)


def work(earlier: EarlierMail, rounds: int = 23, now: int = NOW) -> None:
    for _ in range(rounds):
        earlier.work(now, LATEST)


def test_all_of_it_comes_a_part_a_round(left: Left) -> None:
    for number in range(1, 47):
        left.message(number, local=NOW + number)
    left.message(100, remote=NOW - 5)
    left.message(101)
    earlier = left.taken_over()
    work(earlier, 1)
    assert 1 <= sum(map(len, left.found())) <= 4
    work(earlier, 22)
    assert left.found() == ({number: NOW + number for number in range(1, 47)}, {100: NOW - 5}, {101})
    assert earlier.next_time() is None
    work(earlier, 3)
    assert len(left.due[0]) == 46


def test_what_is_fresh_or_was_queued_meanwhile_is_not_taken_twice(left: Left) -> None:
    for number in (1, 2, 3, 4):
        left.message(number, local=NOW)
    earlier = left.taken_over(1)
    earlier.queued(2)
    left.held.add(3)
    work(earlier)
    assert left.found() == ({4: NOW}, {}, set())


def test_nothing_is_due_later_than_it_could_be(left: Left) -> None:
    left.message(1, local=LATEST + 1, remote=LATEST - 1)
    work(left.taken_over())
    assert left.found()[:2] == ({1: LATEST}, {1: LATEST - 1})


def test_whoever_asks_for_everything_at_once_gets_what_is_still_to_come_too(left: Left) -> None:
    left.message(1, local=NOW + 99)
    earlier = left.taken_over()
    earlier.run_all()
    work(earlier)
    assert left.found()[0] == {1: NOW}


def test_a_part_that_cannot_be_read_is_tried_again_and_holds_up_nothing_else(left: Left) -> None:
    left.message(1, local=NOW)
    left.message(2, local=NOW)
    left.message(23, local=NOW)
    earlier = left.taken_over()
    part = Path(os.fsdecode(left.queue.root), "local", "1")
    part.rename(part.with_name("away"))
    work(earlier)
    assert left.found()[0] == {2: NOW, 23: NOW} and len(left.said) == 1 and b"part 1" in left.said[0]
    part.with_name("away").rename(part)
    assert earlier.next_time() == NOW + AFTER_TROUBLE
    work(earlier, now=NOW + AFTER_TROUBLE - 1)
    assert 1 not in left.found()[0]
    work(earlier, now=NOW + AFTER_TROUBLE)
    assert left.found()[0] == {1: NOW, 2: NOW, 23: NOW}


def test_a_clock_that_is_set_back_keeps_nothing_waiting(left: Left) -> None:
    left.message(1, local=NOW)
    earlier = left.taken_over()
    part = Path(os.fsdecode(left.queue.root), "info", "1")
    part.rename(part.with_name("away"))
    work(earlier)
    part.with_name("away").rename(part)
    earlier.clock_was_set_back(NOW - 10_000)
    work(earlier, now=NOW - 10_000 + AFTER_TROUBLE)
    assert left.found()[0] == {1: NOW}
