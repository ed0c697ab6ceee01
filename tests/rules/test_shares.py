"""Shares of qmail-queued and turns in its batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.shares import Shares, Turns


def test_ordinary_users_together_have_a_quarter_and_one_of_them_a_quarter_of_that() -> None:
    shares = Shares(1600, frozenset({1}))
    assert sum(shares.admit(7) for _ in range(2000)) == 100
    assert sum(shares.admit(uid) for uid in range(10, 30) for _ in range(100)) == 300
    assert sum(shares.admit(1) for _ in range(2000)) == 1200, "the network has the rest"
    assert not shares.admit(99)
    shares.give_back(7)
    assert shares.admit(99)


def test_even_the_smallest_machine_serves_every_user() -> None:
    shares = Shares(40, frozenset({1}))
    assert sum(shares.admit(7) for _ in range(100)) == 8


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=300))
def test_what_is_given_back_can_be_had_again(steps: list[tuple[int, bool]]) -> None:
    shares, held = Shares(64, frozenset({0})), list[int]()
    for uid, come in steps:
        if come:
            if shares.admit(uid):
                held.append(uid)
        elif uid in held:
            held.remove(uid)
            shares.give_back(uid)
        assert len(held) <= 64
        assert sum(1 for one in held if one) <= shares.others
    for uid in held:
        shares.give_back(uid)
    assert sum(shares.admit(0) for _ in range(100)) == 64


def test_a_flood_of_one_user_does_not_delay_another_beyond_one_batch() -> None:
    turns: Turns[str] = Turns()
    for number in range(1000):
        turns.add(1, f"flood {number}")
    turns.add(2, "mine")
    assert "mine" in turns.take(10)


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 9))
def test_everything_has_its_turn_once_and_each_user_in_order(uids: list[int], most: int) -> None:
    turns: Turns[tuple[int, int]] = Turns()
    for number, uid in enumerate(uids):
        turns.add(uid, (uid, number))
    taken = []
    while turns:
        batch = turns.take(most)
        assert 0 < len(batch) <= most
        taken += batch
    assert sorted(number for _, number in taken) == list(range(len(uids)))
    for uid in range(5):
        assert [number for one, number in taken if one == uid] == [n for n, one in enumerate(uids) if one == uid]
