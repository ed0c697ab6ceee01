"""The first attempt as a machine: whatever happens, each recipient is done, deferred or untouched, and counted once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.rules import freshmessage
from qmail.rules.destination import table
from qmail.rules.destinations import Destinations
from qmail.rules.firstattempt import PATIENCE, FirstAttempts
from qmail.rules.freshmessage import COMPLETE, LISTED, TRYING, Fresh
from qmail.rules.outcome import DEFERRED, DONE, FAILED
from qmail.rules.routing import LOCAL, REMOTE

A, B, C = (LOCAL, b"a@here"), (REMOTE, b"b@away"), (LOCAL, b"c@here")


def destinations(deliveries: int) -> Destinations:
    """As many go to each destination as there are deliveries."""
    all_of_it = Destinations(deliveries)
    all_of_it.rule(table([b"*:%d" % deliveries]), {})
    return all_of_it


def attempts(*limits: int) -> FirstAttempts:
    both = limits or (10, 20)
    return FirstAttempts(both, destinations(both[1]), lambda recipient: recipient)


def fresh(first: FirstAttempts, *recipients: tuple[int, bytes], number: int = 1, now: float = 0) -> Fresh:
    one = Fresh(number, b"s@x", recipients)
    if first.needs_files(one):
        first.add_without(one)
    else:
        first.add(one, now)
    return one


def start(first: FirstAttempts, channel: int, now: float = 0) -> tuple[Fresh, int, bytes]:
    found = first.next(channel, now)
    assert found is not None
    return found


def end(found: tuple[Fresh, int, bytes], outcome: int, report: bytes = b"r\n") -> None:
    one, key, recipient = found
    one.ended(key, recipient, outcome, report)


def test_a_message_is_complete_when_every_recipient_is_done_or_failed() -> None:
    first = attempts()
    one = fresh(first, A, B)
    end(start(first, LOCAL), DONE)
    assert first.complete == []
    end(start(first, REMOTE), FAILED, b"no\n")
    assert first.complete == [one]
    assert (one.stage, one.failures) == (COMPLETE, [b"<b@away>:\nno\n\n"])
    assert first.next(LOCAL, 0) is None


def test_one_without_recipients_is_complete_at_once() -> None:
    first = attempts()
    assert first.complete == [fresh(first)]


def test_a_deferral_makes_files_once_nothing_runs_or_waits() -> None:
    first = attempts()
    one = fresh(first, A, B, C)
    end(start(first, LOCAL), DEFERRED)
    end(start(first, LOCAL), DONE)
    assert list(first.incomplete) == []
    end(start(first, REMOTE), DONE)
    assert list(first.incomplete) == [one]
    texts, (local, remote) = freshmessage.records(one)
    assert texts == (b"Ta@here\0Dc@here\0", b"")
    assert (local.tried, local.untried) == ({0: 0}, False)
    assert (remote.tried, remote.untried) == ({}, False)


@pytest.mark.parametrize(
    ("limits", "recipients"), [((10, 20), [A] * 17), ((0, 20), [A, B]), ((10, 0), [A, B]), ((10, 0), [B])]
)
def test_many_recipients_or_a_closed_channel_make_files_at_once(
    limits: tuple[int, int], recipients: list[tuple[int, bytes]]
) -> None:
    first = attempts(*limits)
    one = fresh(first, *recipients)
    assert list(first.incomplete) == [one]
    assert first.next(LOCAL, 0) is None


def test_sixteen_recipients_are_not_too_many() -> None:
    first = attempts()
    assert fresh(first, *[A] * 16).stage == TRYING


def test_what_takes_longer_than_a_second_gets_files_while_it_runs() -> None:
    first = attempts()
    one = fresh(first, A, B)
    end(start(first, LOCAL, 0.2), DONE)
    running = start(first, REMOTE, 0.2)
    first.overdue(PATIENCE)
    assert one.stage == TRYING
    first.overdue(PATIENCE + 0.5)
    assert list(first.incomplete) == [one]
    assert freshmessage.records(one)[0] == (b"", b"Tb@away\0")
    end(running, DONE)
    assert one.complete, "it was late, but not too late"
    assert first.incomplete.popleft() is one


def test_on_a_channel_that_stands_still_nobody_waits_longer_than_a_second() -> None:
    first = attempts()
    waiting = fresh(first, A, number=1, now=0)
    first.overdue(0.9)
    assert waiting.stage == TRYING
    first.overdue(1.0)
    assert list(first.incomplete) == [waiting]


def test_on_a_channel_that_moves_a_message_keeps_its_turn() -> None:
    first = attempts()
    for number in range(5):
        fresh(first, A, number=number, now=0)
    for step in range(4):
        start(first, LOCAL, step * 0.9)
        first.overdue(step * 0.9 + 0.1)
    last = first.held[4]
    assert last.stage == TRYING
    first.overdue(5.0)
    first.overdue(5.5)
    assert last.stage == LISTED


def test_stopping_keeps_what_was_tried_and_leaves_the_rest_in_todo() -> None:
    first = attempts()
    partly, running = (fresh(first, A, B, number=number) for number in (1, 2))
    end(start(first, LOCAL), DONE)
    still = start(first, LOCAL)
    untouched = fresh(first, A, number=3)
    first.stop()
    assert list(first.incomplete) == [partly]
    assert 3 not in first.held
    assert first.next(LOCAL, 0) is None
    end(still, DONE)
    assert list(first.incomplete) == [partly, running]
    assert not untouched.touched


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_every_recipient_is_accounted_for_whatever_happens(data: st.DataObject) -> None:
    first = attempts(3, 2)
    limits = {LOCAL: 3, REMOTE: 2}
    running: list[tuple[Fresh, int, bytes]] = []
    outcomes: dict[tuple[int, int], int] = {}
    messages: list[Fresh] = []
    now, stopped = 0.0, False
    for step in range(data.draw(st.integers(5, 60))):
        act = data.draw(st.sampled_from(["add", "start", "start", "end", "end", "wait", "prepare", "stop"]))
        if act == "add" and not stopped:
            channels = data.draw(st.lists(st.sampled_from([LOCAL, REMOTE]), max_size=4))
            messages.append(fresh(first, *[(channel, b"r%d" % step) for channel in channels], number=step, now=now))
        elif act == "start" and not stopped:
            channel = data.draw(st.sampled_from([LOCAL, REMOTE]))
            if sum(one.recipients[key][0] == channel for one, key, _ in running) < limits[channel]:
                found = first.next(channel, now)
                if found is not None:
                    assert (found[0].number, found[1]) not in outcomes
                    assert found not in running
                    running.append(found)
        elif act == "end" and running:
            found = running.pop(data.draw(st.integers(0, len(running) - 1)))
            outcome = data.draw(st.sampled_from([DONE, DONE, DEFERRED, FAILED]))
            outcomes[found[0].number, found[1]] = outcome
            end(found, outcome)
        elif act == "wait":
            now += data.draw(st.floats(0, 2))
            first.overdue(now)
        elif act == "prepare" and first.incomplete:
            one = first.incomplete.popleft()
            if not one.complete:
                texts, places = freshmessage.records(one)
                for channel, text, place in zip((LOCAL, REMOTE), texts, places, strict=True):
                    ours = [key for key, (where, _) in enumerate(one.recipients) if where == channel]
                    left = [key for key in ours if outcomes.get((one.number, key)) not in (DONE, FAILED)]
                    assert bool(text) == bool(left)
                    assert place.untried == any(not one.results[key] for key in left)
                    assert set(place.tried) == {key for key in left if one.results[key]}
                    assert all(
                        text[at:].startswith(b"T" + one.recipients[key][1] + b"\0") for key, at in place.tried.items()
                    )
                    if left:
                        letters = [record[:1] for record in text.split(b"\0")[:-1]]
                        assert letters == [b"T" if key in left else b"D" for key in ours]
                first.let_go(one.number)
                # The deliveries that run are another story from here on.
                one.stage = freshmessage.PREPARED
                messages.remove(one)
                running = [found for found in running if found[0] is not one]
        elif act == "stop":
            first.stop()
            stopped = True
    for one in first.complete:
        assert all(outcomes[one.number, key] in (DONE, FAILED) for key in range(len(one.recipients)))
        ends = [outcomes[one.number, key] for key in range(len(one.recipients))]
        assert len(one.failures) == ends.count(FAILED)
    waiting = {found[0].number for channel in (LOCAL, REMOTE) for found in first._waiting[channel]}
    busy = {found[0].number for found in running}
    for one in messages:
        placed = one in first.complete or one in first.incomplete or one.number in waiting | busy
        untouched = not any(outcomes.get((one.number, key)) for key in range(len(one.recipients)))
        assert placed or (stopped and untouched), "no message is forgotten"


def test_few_local_deliveries_wait_for_more_where_others_have_just_started() -> None:
    first = attempts()
    fresh(first, A)
    assert not first.gathers(10, 100.0), "who is alone does not wait"
    start(first, LOCAL, 100.0)
    fresh(first, A, number=2, now=100.0)
    assert not first.gathers(9, 100.0), "those of one round start together"
    assert first.gathers(9, 100.001) == pytest.approx(0.009)
    assert not first.gathers(9, 100.01), "not where no more come"
    assert not first.gathers(1, 100.001), "nor where no more could start"


def test_in_a_rush_they_wait_as_long_as_more_come_but_not_for_ever() -> None:
    first = attempts()
    fresh(first, A)
    start(first, LOCAL, 100.0)
    for number, now in enumerate((100.001, 100.009, 100.018, 100.027), 2):
        fresh(first, A, number=number, now=now)
    assert first.gathers(9, 100.03) == pytest.approx(0.007)
    fresh(first, A, number=6, now=100.035)
    assert first.gathers(9, 100.035) == pytest.approx(0.005)
    assert not first.gathers(9, 100.04), "not for longer"
    for number in range(7, 22):
        fresh(first, A, number=number, now=100.035)
    assert not first.gathers(30, 100.036), "nor where there are enough"


def test_who_sends_one_after_the_other_does_not_wait_for_a_rush() -> None:
    first = attempts()
    for number, now in enumerate((100.0, 100.02, 100.04), 1):
        fresh(first, A, number=number, now=now)
        assert not first.gathers(9, now + 0.001)
        start(first, LOCAL, now + 0.001)


def test_remote_deliveries_wait_for_nobody() -> None:
    first = attempts()
    fresh(first, B)
    start(first, REMOTE, 100.0)
    fresh(first, B, number=2, now=100.001)
    assert not first.gathers(10, 100.001)
