"""Where subscribers stand, and how they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import subscriber

# What ezmlm-idx 7 says on a machine of 64 bits whose characters have a sign.
PLACES = [
    ("joe@example.org", "S"),
    ("ann@example.com", "f"),
    ("joe.doe@example.org", "B"),
    ("müller@example.org", "\\"),
    ("a-very-long-local-part-with-numbers-0123456789@a.very.long.host.example.net", "h"),
]


@pytest.mark.parametrize(("address", "place"), PLACES)
def test_a_new_address_goes_where_ezmlm_idx_puts_it(address: str, place: str) -> None:
    assert subscriber.places(address.encode())[0] == place.encode()


def test_an_address_is_looked_for_where_the_case_of_letters_counted() -> None:
    assert b"L" in subscriber.places(b"Joe.Doe@example.org")
    assert subscriber.places(b"JOE@Example.ORG")[0] == b"S"


@given(st.binary(min_size=1, max_size=60).filter(lambda text: b"\0" not in text))
def test_every_address_has_a_few_places_among_the_53(address: bytes) -> None:
    places = subscriber.places(address)
    assert set(places) <= set(subscriber.FILES)
    assert 1 <= len(places) == len(set(places)) <= 8


@given(st.lists(st.binary(max_size=40).filter(lambda text: b"\0" not in text)))
def test_what_is_written_is_read_again(addresses: list[bytes]) -> None:
    assert subscriber.addresses(subscriber.records(addresses)) == addresses


@given(st.binary(max_size=40))
def test_what_is_no_file_of_subscribers_is_said_to_be_none(text: bytes) -> None:
    try:
        found = subscriber.addresses(text)
    except ValueError:
        return
    assert subscriber.records(found) == text


@pytest.mark.parametrize(
    ("address", "fit"),
    [
        (b"a@b", True),
        (b"A b@c.d", True),
        (b"a@b@c", True),
        (b"\xc3\xbc@x", True),
        (b"a" * 398 + b"@b", True),
        (b"a" * 399 + b"@b", False),
        (b"a", False),
        (b"a@", False),
        (b"@b", False),
        (b"", False),
        (b"a\n@b", False),
        (b"a\0@b", False),
        (b"a\x7f@b", False),
    ],
)
def test_addresses_that_may_be_on_a_list(address: bytes, fit: bool) -> None:
    assert subscriber.fit(address) is fit


def test_a_host_may_stand_for_everybody_there_where_that_is_asked() -> None:
    assert subscriber.fit(b"@b", hosts=True)
    assert not subscriber.fit(b"@", hosts=True)
