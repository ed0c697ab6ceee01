"""What svc -w waits for."""

from __future__ import annotations

import pytest

from qmail.formats.svstatus import UP, Status
from qmail.rules.svcgoal import Goal

UP_1 = Status(1, 7, False, UP)
UP_2 = Status(3, 8, False, UP)
DOWN_1 = Status(2, 0, False, UP)


@pytest.mark.parametrize(
    ("letters", "before", "now", "reached"),
    [
        (b"u", DOWN_1, DOWN_1, False),
        (b"u", DOWN_1, UP_2, True),
        (b"u", UP_1, UP_1, True),
        (b"o", DOWN_1, UP_2, True),
        (b"d", UP_1, UP_1, False),
        (b"d", UP_1, DOWN_1, True),
        (b"d", DOWN_1, DOWN_1, True),
        (b"du", UP_1, UP_1, False),  # the old program still runs
        (b"du", UP_1, UP_2, True),
        (b"t", UP_1, UP_1, False),
        (b"t", UP_1, DOWN_1, False),
        (b"t", UP_1, UP_2, True),
        (b"t", DOWN_1, DOWN_1, True),  # nothing ran that could end
        (b"p", UP_1, UP_1, True),
        (b"u", None, None, False),
    ],
)
def test_the_goal_is_the_state_that_the_letters_ask_for(
    letters: bytes, before: Status | None, now: Status | None, reached: bool
) -> None:
    assert Goal(letters, before).reached(now, supervised=True) is reached


def test_exit_is_reached_when_no_supervise_is_left() -> None:
    assert not Goal(b"dx", UP_1).reached(DOWN_1, supervised=True)
    assert Goal(b"dx", UP_1).reached(DOWN_1, supervised=False)


def test_without_a_supervise_nothing_else_is_reached() -> None:
    assert not Goal(b"u", UP_1).reached(UP_1, supervised=False)
