"""How batches wait, and which way of making them durable is taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmail.rules import barriers
from qmail.rules.barriers import Gathering, Rest, Trials


def test_whoever_is_alone_is_not_kept_waiting() -> None:
    gathering = Gathering()
    for _ in range(5):
        gathering.begun(1.0)
        assert gathering.wait(1, 1.0) == 0
        gathering.committed(1, 0, 0.004)


def test_those_who_were_there_lately_are_waited_for() -> None:
    gathering = Gathering()
    gathering.committed(5, 4, 0.004)
    gathering.begun(1.0)
    assert gathering.wait(4, 1.001) > 0
    assert gathering.wait(9, 1.001) == 0, "all are there"


def test_nobody_waits_longer_than_a_commit_takes() -> None:
    gathering = Gathering()
    gathering.committed(5, 4, 0.004)
    gathering.begun(1.0)
    assert gathering.wait(4, 1.0041) == 0
    gathering.committed(5, 4, 3.0)
    gathering.begun(1.0)
    assert 0 < gathering.wait(4, 1.0) < barriers.LONGEST_WAIT * 1.01
    assert gathering.wait(4, 1.001 + barriers.LONGEST_WAIT) == 0


def test_where_the_disk_is_quick_there_is_no_waiting() -> None:
    gathering = Gathering()
    gathering.committed(5, 4, barriers.WORTH / 2)
    gathering.begun(1.0)
    assert gathering.wait(1, 1.0) == 0


def test_those_who_left_are_waited_for_ever_less() -> None:
    gathering = Gathering()
    gathering.committed(5, 4, 0.004)
    waited = 0
    for _ in range(20):
        gathering.begun(1.0)
        waited += gathering.wait(2, 1.0) > 0
        gathering.committed(2, 0, 0.004)
    assert waited == 7


def test_after_a_slow_sync_there_is_none_for_twenty_times_as_long() -> None:
    rest = Rest()
    rest.took(10.0, 10.07)
    assert rest.over(10.07)
    rest.took(11.0, 12.0)
    assert not rest.over(31.9)
    assert rest.over(32.0)
    rest.took(200.0, 300.0)
    assert not rest.over(299.0 + barriers.LONGEST_REST)
    assert rest.over(300.0 + barriers.LONGEST_REST)


def test_what_is_ours_is_allowed_for() -> None:
    rest = Rest()
    rest.took(10.0, 13.0, files=128)
    assert rest.over(13.0)
    rest.took(20.0, 25.0, files=1, size=120_000_000)
    assert rest.over(25.0)
    rest.took(30.0, 33.0, files=3)
    assert not rest.over(33.0)


def test_after_one_that_failed_each_file_is_asked_for_its_own_errors() -> None:
    rest = Rest()
    rest.failed(10.0)
    assert not rest.over(10.0)
    assert rest.over(10.0 + barriers.AFTER_ERROR)


def way_after(trials: Trials, times: tuple[float, float], turns: int) -> bool:
    """The way that most of some more turns go, after so many."""
    for _ in range(turns):
        way = trials.next()
        trials.took(way, times[way])
    ways = []
    for _ in range(barriers.EVERY):
        ways.append(trials.next())
        trials.took(ways[-1], times[ways[-1]])
    assert ways.count(not max(ways, key=ways.count)) == 1, "the other one is tried, and only once"
    return max(ways, key=ways.count)


def test_the_quicker_way_is_found_and_a_change_is_seen() -> None:
    trials = Trials()
    assert not way_after(trials, (1.0, 2.0), 500)
    assert not way_after(trials, (1.0, 0.95), 500), "what is hardly better is left alone"
    assert way_after(trials, (1.0, 0.5), 500)
    assert not way_after(trials, (1.0, 5.0), 2000)


def test_the_first_way_is_taken_until_the_other_was_tried_enough() -> None:
    trials = Trials()
    taken = []
    for _ in range(barriers.EVERY * (barriers.ENOUGH - 1)):
        taken.append(trials.next())
        trials.took(taken[-1], 0.001 if taken[-1] else 1.0)
    assert taken.count(True) == barriers.ENOUGH - 1
    assert not any(taken[: barriers.EVERY - 1])


def test_one_long_wait_for_somebody_else_decides_nothing() -> None:
    trials = Trials()
    assert way_after(trials, (1.0, 0.5), 500)
    trials.took(True, 1000.0)
    assert way_after(trials, (1.0, 0.5), 0)


def test_a_first_trial_that_waited_for_somebody_else_decides_nothing() -> None:
    trials = Trials()
    tried = 0
    for _ in range(20 * barriers.EVERY):
        way = trials.next()
        tried += way
        trials.took(way, 1.0 if not way else 1000.0 if tried == 1 else 0.5)
    assert way_after(trials, (1.0, 0.5), 0)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=2 * barriers.EVERY, max_size=200))
def test_each_way_is_tried_now_and_then_whatever_they_take(times: list[tuple[float, float]]) -> None:
    trials, ways = Trials(), list[bool]()
    for both in times:
        ways.append(trials.next())
        trials.took(ways[-1], both[ways[-1]])
    for at in range(len(ways) - 2 * barriers.EVERY + 1):
        assert len(set(ways[at : at + 2 * barriers.EVERY])) == 2
