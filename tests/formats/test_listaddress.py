"""Addresses within addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import listaddress


@given(st.binary(max_size=20), st.binary(max_size=20).filter(lambda host: b"@" not in host and b"=" not in host))
def test_an_address_inside_another_is_found_again(local: bytes, host: bytes) -> None:
    address = local + b"@" + host
    assert listaddress.spelled(listaddress.dashed(address)) == address


@pytest.mark.parametrize(
    ("environ", "command"),
    [
        ({b"DEFAULT": b"get.3", b"LOCAL": b"x-get.3"}, b"get.3"),
        ({b"DEFAULT": b""}, b""),
        ({b"LOCAL": b"joe-sos-get.3"}, b"get.3"),
        ({b"LOCAL": b"Joe-SOS-get.3"}, b"get.3"),
        ({b"LOCAL": b"joe-sos"}, None),
        ({b"LOCAL": b""}, None),
        ({}, None),
    ],
)
def test_a_command_stands_behind_the_name_of_the_list(environ: dict[bytes, bytes], command: bytes | None) -> None:
    assert listaddress.command(environ, b"joe-sos") == command


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"12-x", (12, b"-x")),
        (b"x", (None, b"x")),
        (b"", (None, b"")),
        (b"0", (0, b"")),
        (b"9" * 20, (10**18 - 1, b"99")),
    ],
)
def test_numbers_are_bounded(text: bytes, found: tuple[int | None, bytes]) -> None:
    assert listaddress.number(text) == found


def test_a_url_holds_nothing_that_ends_it() -> None:
    assert listaddress.mailto(b'a">\n b@c') == b"<mailto:a%22%3E%0A%20b@c>"
