"""What is asked of an archive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules import listget


@pytest.mark.parametrize(
    ("text", "action", "form", "first", "last"),
    [
        (b"get.12", b"get", b"", 12, None),
        (b"GET-12-15", b"get", b"", 12, 15),
        (b"get12_15", b"get", b"", 12, 15),
        (b"getr.12", b"get", b"r", 12, None),
        (b"getv", b"get", b"v", None, None),
        (b"get", b"get", b"", None, None),
        (b"index.5_700", b"index", b"", 5, 700),
        (b"thread-9", b"thread", b"", 9, None),
        (b"threadn.9", b"thread", b"n", 9, None),
    ],
)
def test_a_request_is_read(text: bytes, action: bytes, form: bytes, first: int | None, last: int | None) -> None:
    found = listget.wanted(text)
    assert found is not None
    assert (found.action, found.form, found.first, found.last) == (action, form, first, last)


@pytest.mark.parametrize("text", [b"subscribe", b"digest-subscribe", b"getting", b"dig", b"digs.x", b"", b"indexes"])
def test_other_requests_are_for_others(text: bytes) -> None:
    assert listget.wanted(text) is None


def test_a_digest_has_a_code() -> None:
    found = listget.wanted(b"dig.Secret")
    assert found is not None
    assert (found.action, found.code) == (b"dig", b"secret")
    found = listget.wanted(b"digv-secret")
    assert found is not None
    assert (found.form, found.code) == (b"v", b"secret")


@pytest.mark.parametrize(
    ("text", "newest", "digested", "expected"),
    [
        (b"get.3", 10, 0, (3, 3)),
        (b"get.3_5", 10, 0, (3, 5)),
        (b"get.5_3", 10, 0, (3, 5)),
        (b"get.3_99", 10, 0, (3, 10)),
        (b"get.0_2", 10, 0, (1, 2)),
        (b"get", 100, 0, (71, 100)),
        (b"get", 100, 95, (95, 100)),
        (b"get", 10, 0, (1, 10)),
        (b"get.1_500", 400, 0, (301, 400)),
        (b"get.999_999", 50, 40, (11, 50)),
        (b"get.11", 10, 0, (11, 11)),
    ],
)
def test_numbers_are_brought_into_bounds(text: bytes, newest: int, digested: int, expected: tuple[int, int]) -> None:
    asked = listget.wanted(text)
    assert asked is not None
    assert listget.messages(asked, newest, digested) == expected


@given(st.binary(max_size=20), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_answer_is_too_large(text: bytes, newest: int, digested: int) -> None:
    for action in (b"get", b"index"):
        asked = listget.wanted(action + text)
        if asked is not None and asked.action == action:
            first, last = listget.messages(asked, newest, digested)
            assert first >= 1
            assert last - first < listget.MOST
            assert len(listget.indexes(asked, newest)) <= listget.MOST_INDEXES


@pytest.mark.parametrize(
    ("new", "now", "limits", "due"),
    [
        ((10, 40), 1000, (30, 64, 48), False),
        ((40, 40), 1000, (30, 64, 48), True),
        ((11, 40 + 256), 1000, (30, 64, 48), True),
        ((11, 40), 1000 + 48 * 3600, (30, 64, 48), True),
        ((10, 40), 1000 + 480 * 3600, (30, 64, 48), False),
        ((11, 40), 1000, (0, 0, 0), True),
        ((10, 40), 1000, (0, 0, 0), False),
        ((99, 40), 1000, (0, 64, 0), False),
    ],
)
def test_a_digest_is_due_when_one_limit_is_reached(
    new: tuple[int, int], now: int, limits: tuple[int, int, int], due: bool
) -> None:
    assert listget.is_due(new, (10, 40, 1000), now, limits) is due
