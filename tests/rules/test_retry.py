"""Attempts thin out quadratically, and end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.retry import expired, longest_wait, next_attempt
from qmail.rules.routing import LOCAL, REMOTE

WEEK = 604800


@pytest.mark.parametrize(
    ("age", "local", "remote"), [(0, 100, 400), (100, 400, 900), (400, 900, 1600), (150, 484, 1024), (-50, 100, 400)]
)
def test_the_next_attempt_is_at_birth_plus_a_square(age: int, local: int, remote: int) -> None:
    assert next_attempt(1000, 1000 + age, LOCAL) == 1000 + local
    assert next_attempt(1000, 1000 + age, REMOTE) == 1000 + remote


def test_the_last_attempt_begins_after_the_lifetime() -> None:
    assert not expired(1000, 1000 + WEEK, WEEK)
    assert expired(1000, 1001 + WEEK, WEEK)
    assert expired(1000, 1001, 0)


@given(st.integers(0, WEEK), st.sampled_from([LOCAL, REMOTE]))
def test_no_wait_within_the_lifetime_is_longer_than_the_longest(age: int, channel: int) -> None:
    assert age < next_attempt(0, age, channel) <= age + longest_wait(WEEK)
