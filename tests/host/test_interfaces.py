"""host.interfaces: which addresses are ours."""

from __future__ import annotations

import pytest

from qmail.host.interfaces import Own, addresses, packed


def test_the_loopback_addresses_are_ours() -> None:
    assert {b"\x7f\0\0\1", b"\0\0\0\0"} <= addresses()


@pytest.mark.parametrize(
    ("literal", "ours"),
    [(b"127.0.0.1", True), (b"0.0.0.0", True), (b"192.0.2.200", False), (b"", False), (b"127.0.0.1 ", False)],
)
def test_a_literal_is_compared_as_an_address(literal: bytes, ours: bool) -> None:
    assert Own()(literal) is ours


@pytest.mark.parametrize(
    ("literal", "bytes_"),
    [
        (b"192.0.2.1", b"\xc0\0\2\1"),
        (b"IPv6:::1", b"\0" * 15 + b"\1"),
        (b"ipv6:2001:db8::", b"\x20\1\x0d\xb8" + b"\0" * 12),
        (b"::1", None),
        (b"010.000.00.1", b"\x0a\0\0\1"),
        (b"1.2.3.+4", None),
        (b"1.2.3.", None),
        (b"1.2.3", None),
        (b"1.2.3.256", None),
        (b"\xff", None),
        (b"1.2.3.4\0", None),
    ],
)
def test_literals_are_those_of_rfc_5321(literal: bytes, bytes_: bytes | None) -> None:
    assert packed(literal) == bytes_
