"""Which addresses to try, and in which order."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.mx import MOST_EXCHANGERS, Exchanger, before_ourselves, interleaved, is_null, ordered

V4, V6 = b"\x01\x02\x03\x04", b"\x20\x01" + bytes(14)


@given(st.lists(st.integers(0, 65535), max_size=60))
def test_better_exchangers_come_first(preferences: list[int]) -> None:
    found = ordered([Exchanger(each, b"mx") for each in preferences], os.urandom(2 * len(preferences)))
    assert [each.preference for each in found] == sorted(preferences)[:MOST_EXCHANGERS]


def test_chance_orders_equal_exchangers() -> None:
    pair = [Exchanger(10, b"a"), Exchanger(10, b"b")]
    assert [each.name for each in ordered(pair, b"\1\0\2\0")] == [b"a", b"b"]
    assert [each.name for each in ordered(pair, b"\2\0\1\0")] == [b"b", b"a"]


def test_only_those_before_ourselves_are_tried() -> None:
    listed = [Exchanger(5, b"a", [V4]), Exchanger(10, b"b", [V6]), Exchanger(10, b"us", [bytes(4)])]
    listed.append(Exchanger(20, b"c"))
    assert [each.name for each in before_ourselves(listed, lambda address: address == bytes(4))] == [b"a"]
    assert before_ourselves(listed, lambda address: False) == listed
    assert before_ourselves(listed[2:], lambda address: address == bytes(4)) == []


def test_a_lone_root_is_a_null_exchanger() -> None:
    assert is_null([Exchanger(0, b"")])
    assert not is_null([Exchanger(0, b""), Exchanger(10, b"mx")])
    assert not is_null([])


def test_both_families_are_tried_in_turn() -> None:
    assert interleaved([V6, V6, V4]) == [V6, V4, V6]
    assert interleaved([V4]) == [V4]
    assert len(interleaved([V4] * 1000)) == 8
