"""Addresses and networks are read strictly and written in one form."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import ip


@given(st.integers(0, 2**128 - 1))
def test_ipv6_is_written_as_rfc_5952_says(number: int) -> None:
    text = ip.v6_text(number)
    assert text.decode() == str(ipaddress.IPv6Address(number)) or number >> 32 in (0, 0xFFFF)
    assert ip.v6(text) == number


@given(st.integers(0, 2**32 - 1))
def test_ipv4_is_written_and_read_back(number: int) -> None:
    assert ip.v4(ip.v4_text(number)) == number


@given(st.text("0123456789abcdef:.%/g", max_size=30))
def test_what_the_library_refuses_is_refused(text: str) -> None:
    try:
        expected = int(ipaddress.IPv6Address(text)) if "%" not in text else None
    except ValueError:
        expected = None
    assert ip.v6(text.encode()) == expected
    try:
        expected = int(ipaddress.IPv4Address(text))
    except ValueError:
        expected = None
    assert ip.v4(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "network"),
    [
        (b"10.1.2.3/8", (32, 0x0A000000, 8)),
        (b"10.1.2.3", (32, 0x0A010203, 32)),
        (b"0.0.0.0/0", (32, 0, 0)),
        (b"2001:db8:1::/32", (128, 0x20010DB8 << 96, 32)),
        (b"::1", (128, 1, 128)),
        (b"10.1.2.3/33", None),
        (b"::/129", None),
        (b"10.1.2/8", None),
        (b"10.0.0.0/", None),
        (b"/8", None),
    ],
)
def test_a_network_has_a_family_a_start_and_a_length(text: bytes, network: tuple[int, int, int] | None) -> None:
    assert ip.network(text) == network
