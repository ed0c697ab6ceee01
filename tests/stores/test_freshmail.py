"""How fresh messages are found: each is taken once, and of a flood only numbers are kept."""

from __future__ import annotations

import random

import pytest

from qmail.formats import queuefile
from qmail.formats.note import Note
from qmail.formats.queuefile import Envelope
from qmail.rules.destinations import Destinations
from qmail.rules.firstattempt import FirstAttempts
from qmail.rules.outcome import DONE
from qmail.rules.routing import LOCAL, REMOTE, Routes
from qmail.stores import freshmail
from qmail.stores.freshmail import FreshMail

ROUTES = Routes(b"here", [b"here"], [], [])


class Todo:
    """todo/ in memory."""

    def __init__(self) -> None:
        self.envelopes: dict[int, Envelope] = {}
        self.reads = 0
        self.error: Exception | None = None

    def numbers(self) -> list[int]:
        return list(self.envelopes)

    def confirms(self, note: Note) -> bool:
        return note.number in self.envelopes and note.inode == note.number

    def identity(self, number: int) -> tuple[int, int] | None:
        return (number, id(self.envelopes[number])) if number in self.envelopes else None

    def read(self, number: int) -> Envelope:
        self.reads += 1
        if self.error is not None:
            raise self.error
        if number not in self.envelopes:
            raise FileNotFoundError
        return self.envelopes[number]

    def size(self, number: int) -> int:
        return 100

    def message_name(self, number: int) -> bytes:
        return b"mess/%d" % number

    def put(self, number: int, *recipients: bytes) -> Note:
        envelope = self.envelopes[number] = Envelope(b"s@x", recipients, 1, 2)
        text = queuefile.todo(envelope)
        return Note(number, 0, number, len(text), 0, 100, text)


class System:
    def __init__(self) -> None:
        self.todo = Todo()
        self.first = FirstAttempts((10, 20), Destinations(20), lambda recipient: recipient)
        self.said: list[bytes] = []
        self.mail = FreshMail(self.todo, self.first, lambda: ROUTES, self.said.append)  # type: ignore[arg-type]
        self.delivered: list[int] = []
        self.now = 1000.0

    def deliver(self, channel: int) -> bool:
        found = self.first.next(channel, self.now)
        if found is None:
            return False
        fresh, key, recipient = found
        fresh.ended(key, recipient, DONE, b"")
        for one in self.first.complete:
            del self.todo.envelopes[one.number]
            self.first.let_go(one.number)
            self.delivered.append(one.number)
        self.first.complete.clear()
        return True


@pytest.fixture
def system() -> System:
    return System()


def test_a_note_saves_reading_and_a_second_one_is_ignored(system: System) -> None:
    note = system.todo.put(7, b"joe@here")
    system.mail.note(note, 0)
    system.mail.note(note, 0)
    system.mail.work(1000)
    assert system.said == [b"new msg 7\n", b"info msg 7: bytes 100 from <s@x> qp 2 uid 1\n"]
    assert system.todo.reads == 0


def test_who_comes_while_much_is_in_todo_does_not_wait_for_it_though_a_look_came_first(system: System) -> None:
    for number in range(1, 301):
        system.todo.put(number, b"joe@here")
    note = system.todo.put(301, b"ann@here")
    system.mail.work(1000)  # a hundred of them are read, and the others known
    assert 301 not in system.first.held
    system.mail.note(note, 1000)
    assert 301 in system.first.held
    while system.deliver(LOCAL) or system.mail.pending():
        system.mail.work(1000)
    assert sorted(system.delivered) == list(range(1, 302))
    assert system.said.count(b"new msg 301\n") == 1


def test_a_note_that_the_file_does_not_bear_out_makes_it_look(system: System) -> None:
    system.mail.work(1000)
    note = system.todo.put(7, b"joe@here")
    note.inode = 8
    system.mail.note(note, 1000)
    assert system.said == []
    system.mail.work(1001)
    assert system.said[0] == b"new msg 7\n"


def test_todo_is_looked_through_at_start_and_every_25_minutes(system: System) -> None:
    system.todo.put(1, b"joe@here")
    system.mail.work(1000)
    assert 1 in system.first.held
    system.todo.put(2, b"joe@here")
    system.mail.work(2499)
    assert 2 not in system.first.held
    assert system.mail.next_time() == 2500
    system.mail.work(2500)
    assert 2 in system.first.held


def test_a_trigger_that_is_pulled_all_the_time_is_heeded_often_enough(system: System) -> None:
    looks = 0
    numbers = system.todo.numbers

    def counted() -> list[int]:
        nonlocal looks
        looks += 1
        return numbers()

    system.todo.numbers = counted  # type: ignore[method-assign]
    for step in range(1000):
        system.mail.look_soon()
        system.mail.work(1000 + step / 1000)
    assert 15 <= looks <= 21


@pytest.mark.parametrize("by_notes", [True, False])
def test_fault_099_of_a_flood_only_numbers_are_kept_and_each_is_delivered_once(system: System, by_notes: bool) -> None:
    draw = random.Random(1)
    numbers = list(range(1, 3001))
    notes = [system.todo.put(n, draw.choice([b"joe@here", b"bob@away", b"ann@here"])) for n in numbers]
    if by_notes:
        for note in notes:
            system.mail.note(note, system.now)
    for _ in range(100):
        system.mail.work(system.now)
    assert len(system.first.held) <= 2 * freshmail.MOST_WAITING
    assert max(map(system.first.waiting, (LOCAL, REMOTE))) <= freshmail.MOST_WAITING
    # Nobody waits behind another channel's flood.
    while system.deliver(LOCAL) or system.mail.pending():
        system.mail.work(system.now)
    assert len(system.delivered) > 1500
    while system.deliver(LOCAL) or system.deliver(REMOTE) or system.mail.pending():
        system.mail.work(system.now)
    assert sorted(system.delivered) == numbers
    assert system.first.held == {}
    assert sum(line.startswith(b"new msg") for line in system.said) == 3000


def test_what_cannot_be_read_now_is_tried_again_after_123_seconds(system: System) -> None:
    system.todo.put(7, b"joe@here")
    system.todo.error = OSError(5, "input/output error")
    system.mail.work(1000)
    assert system.said == [b"warning: trouble reading todo/7\n"]
    system.todo.error = None
    system.mail.look_soon()
    system.mail.work(1100)
    assert 7 not in system.first.held
    system.mail.work(1123)
    assert 7 in system.first.held


def test_what_makes_no_sense_is_said_once_until_it_is_another_file(system: System) -> None:
    system.todo.put(7, b"joe@here")
    system.todo.error = queuefile.Corrupt()
    for step in range(5):
        system.mail.look_soon()
        system.mail.work(1000 + step)
    assert system.said == [b"new msg 7\n", b"warning: unknown record type in todo/7\n"]
    system.todo.error = None
    system.mail.look_soon()
    system.mail.work(2000)
    assert 7 not in system.first.held
    system.todo.put(7, b"joe@here")
    system.mail.look_soon()
    system.mail.work(2001)
    assert 7 in system.first.held
