"""rules.sourceaddresses: from which of our addresses mail goes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.sourceaddresses import sources, table

FOUR, SIX = bytes([192, 0, 2, 1]), bytes.fromhex("20010db8000000000000000000000001")
OTHER = bytes([192, 0, 2, 9])
NAMED = table(
    [b"192.0.2.1", b"[IPv6:2001:db8::1]"],
    [b"A.example:192.0.2.9", b".b.example:[192.0.2.9] 2001:db8::1", b"free.example:", b"bad.example:192.0.2.256", b"x"],
)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        (b"elsewhere.example", (FOUR, SIX)),
        (b"a.EXAMPLE", (OTHER,)),
        (b"x.a.example", (FOUR, SIX)),
        (b"x.y.b.example", (OTHER, SIX)),
        (b"b.example", (FOUR, SIX)),
        (b"free.example", None),
        (b"", (FOUR, SIX)),
    ],
)
def test_the_longest_name_says_it(host: bytes, addresses: tuple[bytes, ...] | None) -> None:
    found = sources(NAMED, host)
    assert (found.addresses if found else None) == addresses


def test_a_line_for_everybody_else_replaces_outgoingip() -> None:
    found = sources(table([b"192.0.2.1"], [b":192.0.2.9"]), b"x")
    assert found is not None and found.addresses == (OTHER,)
    assert sources(table([b"192.0.2.1"], [b":"]), b"x") is None
    assert sources({}, b"x") is None and sources(table([], [b"a:192.0.2.9"]), b"x") is None


def test_what_is_no_address_is_told_and_not_passed_over() -> None:
    found = sources(NAMED, b"bad.example")
    assert found is not None and (found.addresses, found.wrong) == ((), b"192.0.2.256")
    found = sources(table([b"192.0.2.1", b"name.example"], []), b"x")
    assert found is not None and found.wrong == b"name.example"


def test_only_an_address_of_the_same_kind_leads_to_another() -> None:
    found = sources(NAMED, b"a.example")
    assert found is not None and found.towards(bytes(4)) == OTHER and found.towards(bytes(16)) is None


@given(st.lists(st.binary(max_size=20), max_size=3), st.lists(st.binary(max_size=30), max_size=4), st.binary())
def test_any_text_gives_addresses_or_a_complaint(outgoing: list[bytes], lines: list[bytes], host: bytes) -> None:
    found = sources(table(outgoing, lines), host)
    assert found is None or bool(found.addresses) != bool(found.wrong)
    assert found is None or all(len(each) in (4, 16) for each in found.addresses)
