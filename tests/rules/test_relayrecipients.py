"""rules.relayrecipients: who is there at other hosts, by a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.relayrecipients import MOST_BREAKS, keys, knows

LISTED = frozenset(
    keys([b"Joe@One.example", b"list-default@one.example", b"@all.example", b"junk", b"a@b@two.example"])
)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        (b"joe@one.example", True),
        (b"JOE@ONE.EXAMPLE", True),
        (b"ann@one.example", False),
        (b"joe-x@one.example", False),
        (b"list@one.example", False),
        (b"list-@one.example", True),
        (b"list-return-1-a=b@one.example", True),
        (b"xlist-a@one.example", False),
        (b"any.body@all.example", True),
        (b"@all.example", True),
        (b"@one.example", False),
        (b"a@b@two.example", True),
        (b"a@two.example", False),
        (b"joe@sub.one.example", None),
        (b"joe@three.example", None),
        (b"junk", None),
        (b"a@junk", None),
        (b"one.example", None),
        (b"", None),
    ],
)
def test_a_list_speaks_of_its_domains_alone(address: bytes, known: bool | None) -> None:
    assert knows(LISTED.__contains__, address) is known


def test_an_address_of_hyphens_costs_a_bounded_number_of_looks() -> None:
    looks: list[bytes] = []

    def lists(key: bytes) -> bool:
        looks.append(key)
        return key == b"one.example"

    assert knows(lists, b"-" * 5000 + b"@one.example") is False
    assert len(looks) == 3 + MOST_BREAKS


WORDS = st.sampled_from([b"a", b"-", b"default", b"@", b"one", b"."])


@given(st.lists(st.lists(WORDS).map(b"".join)), st.lists(WORDS).map(b"".join))
def test_what_is_listed_is_known_and_more_lines_make_nobody_unknown_of_a_domain_that_had_some(
    lines: list[bytes], more: bytes
) -> None:
    listed = frozenset(keys(lines))
    for line in lines:
        assert knows(listed.__contains__, line) is (True if b"@" in line else None)
    grown = frozenset(keys([*lines, more]))
    for line in (*lines, more):
        assert knows(listed.__contains__, line) is not True or knows(grown.__contains__, line) is True
