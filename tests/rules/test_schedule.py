"""The heap of due messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.schedule import Schedule

entries = st.dictionaries(st.integers(0, 2**64 - 1), st.integers(-5, 2**40), max_size=30)


@given(entries, st.integers(0, 2**40))
def test_messages_come_out_in_the_order_of_their_times_and_never_early(table: dict[int, int], now: int) -> None:
    schedule = Schedule()
    for number, when in table.items():
        schedule.add(number, when)
    assert len(schedule) == len(table)
    taken = []
    while (number := schedule.take(now)) is not None:
        taken.append(number)
    assert set(taken) == {number for number, when in table.items() if max(when, 0) <= now}
    assert [max(table[n], 0) for n in taken] == sorted(max(table[n], 0) for n in taken)
    assert {number: when for when, number in schedule} == {number: when for number, when in table.items() if when > now}


@given(entries, st.integers(0, 2**40))
def test_nothing_stays_later_than_the_latest(table: dict[int, int], latest: int) -> None:
    schedule = Schedule()
    for number, when in table.items():
        schedule.add(number, when)
    schedule.no_later_than(latest)
    assert {number for _, number in schedule} == set(table)
    assert all(when == min(max(table[number], 0), latest) for when, number in schedule)
    first = schedule.first()
    assert (first is None) == (not table)
