"""control/smtproutes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.hosttable import table
from qmail.rules.smtproutes import route

LINES = (b"a.example:one", b".example:two:26", b":three:27", b"b.example:", b".sub.example:[IPv6:::1]:28")


@pytest.mark.parametrize(
    ("host", "where"),
    [
        (b"a.example", (b"one", 25, True)),
        (b"A.Example", (b"one", 25, True)),
        (b"x.a.example", (b"two", 26, True)),
        (b"example", (b"three", 27, True)),
        (b"b.example", (b"b.example", 25, False)),
        (b"y.sub.example", (b"[ipv6:::1]", 28, True)),
        (b"", (b"three", 27, True)),
        (b"[127.0.0.1]", (b"three", 27, True)),
    ],
)
def test_the_longest_name_wins_whatever_the_order_of_lines(host: bytes, where: tuple[bytes, int, bool]) -> None:
    for lines in itertools.permutations(LINES):
        assert route(table(lines), host).key == where


def test_a_later_line_for_the_same_name_wins() -> None:
    assert route(table([b"a:one", b"A:two"]), b"a").host == b"two"


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (b"a:relay:26 user password", (b"relay", 26)),
        (b"a:relay user password", (b"relay", 25)),
        (b"a:relay:", (b"relay", 0)),
        (b"a:relay:smtp", (b"relay", 0)),
        (b"a:[127.0.0.1]:2525", (b"[127.0.0.1]", 2525)),
        (b"a", (b"a", 25)),
    ],
)
def test_a_relay_may_have_a_port_and_words_after_it(line: bytes, where: tuple[bytes, int]) -> None:
    found = route(table([line]), b"a")
    assert (found.host, found.port) == where


@given(st.lists(st.binary(max_size=20)), st.binary(max_size=20))
def test_any_lines_and_any_host_give_a_route(lines: list[bytes], host: bytes) -> None:
    assert 0 <= route(table(lines), host).port <= 999999
