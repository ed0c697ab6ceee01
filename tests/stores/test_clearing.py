"""Orders to qmail-clean: todo/N, then the sync, then who waits for it, and what fails again later."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from qmail.stores.clearing import MOST, Clearing, Lost


class Todo:
    """todo/, as far as it is synced here."""

    def __init__(self) -> None:
        self.syncs = 0
        self.fails = False

    def sync(self) -> None:
        self.syncs += 1
        if self.fails:
            raise OSError(5, "input/output error")


class Talk:
    """Both ends of the pipes."""

    def __init__(self) -> None:
        self.orders, orders = os.pipe()
        answers, self.answers = os.pipe()
        os.set_blocking(answers, False)
        self.todo = Todo()
        self.said: list[bytes] = []
        self.done: list[int] = []
        self.descriptors = [self.orders, orders, answers, self.answers]
        self.clearing = Clearing(orders, answers, self.todo, self.said.append)  # type: ignore[arg-type]

    def ask(self, kind: bytes, *numbers: int) -> None:
        for number in numbers:
            self.clearing.ask(kind, number, self.done.append)

    def taken(self) -> list[bytes]:
        self.clearing.push()
        return os.read(self.orders, 65536).split(b"\0")[:-1]

    def answer(self, text: bytes, now: int = 0) -> None:
        os.write(self.answers, text)
        self.clearing.answered(now)


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    yield talk
    for descriptor in talk.descriptors:
        os.close(descriptor)


def test_a_batch_is_synced_once_before_anybody_is_told(talk: Talk) -> None:
    talk.ask(b"todo", 1, 2, 3)
    assert talk.taken() == [b"todo/1", b"todo/2", b"todo/3"]
    talk.ask(b"todo", 4)
    talk.clearing.push()
    talk.answer(b"++")
    assert (talk.todo.syncs, talk.done) == (0, [])
    talk.answer(b"+")
    assert (talk.todo.syncs, talk.done) == (1, [1, 2, 3])
    assert talk.taken() == [b"todo/4"], "one batch is on its way at a time"
    assert talk.clearing.busy
    talk.answer(b"+")
    assert not talk.clearing.busy


def test_messages_are_removed_without_a_sync(talk: Talk) -> None:
    talk.ask(b"foop", 1, 2)
    assert talk.taken() == [b"foop/1", b"foop/2"]
    talk.answer(b"++")
    assert (talk.todo.syncs, talk.done) == (0, [1, 2])


def test_what_could_not_be_removed_is_said_and_asked_again_later(talk: Talk) -> None:
    talk.ask(b"todo", 1, 2)
    talk.taken()
    talk.answer(b"!+", now=1000)
    assert talk.done == [2]
    assert talk.said == [b"warning: qmail-clean unable to clean up todo/1\n"]
    assert not talk.clearing.busy
    assert talk.clearing.next_time() == 1123
    talk.clearing.resume(1122)
    assert talk.clearing.waiting == 0
    talk.clearing.resume(1123)
    assert talk.taken() == [b"todo/1"]
    talk.answer(b"+")
    assert talk.done == [2, 1]


def test_where_todo_cannot_be_synced_nobody_is_told_before_it_could(talk: Talk) -> None:
    talk.todo.fails = True
    talk.ask(b"todo", 1)
    talk.taken()
    talk.answer(b"+", now=1000)
    assert talk.done == []
    assert talk.said == [b"warning: trouble fsyncing todo\n"]
    talk.todo.fails = False
    talk.clearing.hurry(1001)
    talk.clearing.resume(1001)
    assert talk.taken() == [b"todo/1"]
    talk.answer(b"+")
    assert talk.done == [1]


def test_a_large_batch_fits_the_smallest_pipe(talk: Talk) -> None:
    talk.ask(b"todo", *range(2**63, 2**63 + 300))
    assert len(talk.taken()) == MOST
    assert MOST * len(b"todo/%d\0" % 2**63) <= 4096
    talk.answer(b"+" * MOST)
    assert len(talk.taken()) == MOST


@pytest.mark.parametrize("text", [b"++", b""])
def test_answers_that_nobody_asked_for_and_an_end_mean_that_it_is_lost(talk: Talk, text: bytes) -> None:
    talk.ask(b"todo", 1)
    talk.taken()
    if text:
        with pytest.raises(Lost):
            talk.answer(text)
    else:
        os.close(talk.answers)
        talk.descriptors.remove(talk.answers)
        with pytest.raises(Lost):
            talk.clearing.answered(0)


def test_nobody_at_the_other_end_means_that_it_is_lost(talk: Talk) -> None:
    os.close(talk.orders)
    talk.descriptors.remove(talk.orders)
    talk.ask(b"todo", 1)
    with pytest.raises(Lost):
        talk.clearing.push()
