"""What a user may send in an hour."""

from __future__ import annotations

import pytest

from qmail.rules.userlimits import HOUR, Refused, Spending, Wrong, table

LIMITS = table([b"joe:3:10", b"ann::5", b"Free::", b":2:4"])


def spend(spending: Spending, user: bytes, recipients: int = 1, now: float = 0.0) -> tuple[int, int | None] | None:
    found = spending.spend(LIMITS, user, recipients, now)
    return (found.most, found.seconds) if isinstance(found, Refused) else found


def test_messages_and_recipients_count_until_the_hour_is_over() -> None:
    spending = Spending()
    assert [spend(spending, b"joe", now=at) for at in (0.0, 100.0, 200.0)] == [None] * 3
    assert spend(spending, b"joe", now=300.0) == (3, 3301)
    assert spend(spending, b"joe", now=HOUR - 0.5) == (3, 1)
    assert [spend(spending, b"joe", now=HOUR + at) for at in (0.0, 1.0, 2.0)] == [None] * 3
    assert spend(spending, b"joe", now=HOUR + 3) == (3, 3598), "an hour that begins with the message"
    assert spend(spending, b"ann", 3) is None
    assert spend(spending, b"ann", 3) == (5, 3601)
    assert spend(spending, b"ann", 2) is None, "what was refused was not counted"
    assert spend(spending, b"ann", 1) == (5, 3601)


def test_a_message_with_too_many_recipients_may_never_go() -> None:
    spending = Spending()
    assert spend(spending, b"joe", 11) == (10, None)
    assert spend(spending, b"joe", 10) is None


def test_others_have_the_line_without_a_user_and_case_makes_no_other_user() -> None:
    spending = Spending()
    assert [spend(spending, user) for user in (b"eve", b"EVE", b"Eve")] == [None, None, (2, 3601)]
    assert all(spend(spending, b"FREE", 1000) is None for _ in range(100))
    assert all(Spending().spend({}, b"joe", 10**6, 0.0) is None for _ in range(3)), "no lines, no limits"


def test_what_is_remembered_is_bounded() -> None:
    spending = Spending(most=100)
    for number in range(1000):
        assert spend(spending, b"u%d" % number, 4, float(number)) is None
    assert spend(spending, b"u999", 1, 1000.0) is not None
    assert spend(spending, b"u1", 4, 1000.0) is None
    assert len(spending._spent) == 100


@pytest.mark.parametrize("line", [b"joe", b"joe:1", b"joe:x:1", b"joe:1:-1", b"joe:1:99999999999", b"joe:1:\xb2"])
def test_a_line_that_sets_no_limit_is_wrong(line: bytes) -> None:
    with pytest.raises(Wrong):
        table([line])


def test_names_may_have_colons_and_the_first_line_counts() -> None:
    assert table([b"a:b:1:2", b"a:b:3:4", b" joe : 5 : "]) == {b"a:b": (1, 2), b"joe": (5, None)}
