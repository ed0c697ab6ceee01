"""What supervise does at each event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.svstatus import DOWN, ONCE, UP
from qmail.rules.supervision import COMMANDS, Machine


def running() -> Machine:
    machine = Machine(normally_up=True)
    machine.started(7)
    return machine


def test_a_service_is_started_when_it_is_normally_up_and_again_when_it_ends() -> None:
    machine = Machine(normally_up=True)
    assert machine.due
    machine.started(7)
    assert not machine.due
    machine.ended()
    assert machine.due


def test_a_file_down_means_that_nothing_starts() -> None:
    machine = Machine(normally_up=False)
    assert (machine.wanted, machine.due) == (DOWN, False)
    assert machine.obey(b"u").starts


@pytest.mark.parametrize(
    ("letter", "signals"),
    [
        (b"d", ("TERM", "CONT")), (b"p", ("STOP",)), (b"c", ("CONT",)), (b"h", ("HUP",)), (b"a", ("ALRM",)),
        (b"i", ("INT",)), (b"t", ("TERM",)), (b"k", ("KILL",)), (b"u", ()), (b"o", ()), (b"x", ()), (b"?", ()),
    ],
)  # fmt: skip
def test_every_letter_has_its_signals_and_none_when_down(letter: bytes, signals: tuple[str, ...]) -> None:
    assert running().obey(letter).signals == signals
    assert Machine(normally_up=False).obey(letter).signals == ()


@pytest.mark.parametrize("letter", [*COMMANDS, b"?"])
def test_only_what_changes_the_state_is_told(letter: bytes) -> None:
    assert running().obey(letter).tells is (letter in b"udopcx")


def test_down_is_not_started_again() -> None:
    machine = running()
    machine.obey(b"d")
    machine.ended()
    assert (machine.wanted, machine.due) == (DOWN, False)


def test_once_is_started_and_then_left_alone() -> None:
    machine = Machine(normally_up=False)
    assert machine.obey(b"o").starts
    machine.started(7)
    machine.ended()
    assert (machine.wanted, machine.due) == (ONCE, False)


def test_exit_waits_until_the_service_is_down() -> None:
    machine = running()
    machine.obey(b"x")
    assert not machine.over
    assert machine.wanted == UP
    machine.ended()
    assert machine.over
    assert not machine.due


def test_pausing_is_remembered_until_it_goes_on_or_starts() -> None:
    machine = running()
    for letter, paused in ((b"p", True), (b"c", False), (b"p", True), (b"d", False)):
        machine.obey(letter)
        assert machine.paused is paused
    machine.obey(b"p")
    machine.ended()
    machine.started(8)
    assert machine.paused is False


@given(st.lists(st.sampled_from([*COMMANDS, b"", b"z", b"started", b"ended"])))
def test_no_order_of_events_starts_a_second_copy(events: list[bytes]) -> None:
    machine = Machine(normally_up=True)
    for event in events:
        if event == b"ended":
            machine.ended()
        elif event == b"started":
            if machine.due:
                machine.started(7)
        else:
            assert not (machine.obey(event).starts and machine.pid)
        assert not (machine.due and machine.pid)
