"""formats.received: the field and its date."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.formats import received


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, b"1 Jan 1970 00:00:00 -0000"),
        (951_782_399, b"28 Feb 2000 23:59:59 -0000"),
        (951_782_400, b"29 Feb 2000 00:00:00 -0000"),
        (1_599_455_167, b"7 Sep 2020 05:06:07 -0000"),
        (4_107_542_400, b"1 Mar 2100 00:00:00 -0000"),
    ],
)
def test_fault_096_a_date_is_utc_without_a_weekday(seconds: int, text: bytes) -> None:
    assert received.date(seconds) == text


@settings(deadline=None)
@given(st.integers(min_value=-(10**9), max_value=10**11))
def test_a_date_is_that_of_the_library(seconds: int) -> None:
    parts = time.gmtime(seconds)
    assert received.date(seconds) == f"{parts.tm_mday} {time.strftime('%b', parts)} {parts.tm_year} ".encode() + (
        time.strftime("%H:%M:%S -0000", parts).encode()
    )


def test_a_greeting_is_told_where_it_differs() -> None:
    origin = received.origin({b"TCPREMOTEIP": b"192.0.2.7", b"TCPREMOTEHOST": b"a.example", b"TCPREMOTEINFO": b""})
    assert received.head(b"SMTP", origin, b"me (x)\r\n") == (
        b"Received: from a.example (HELO me??x???) (@192.0.2.7)\n  by unknown with SMTP"
    )
    assert received.line(b"QMTP", origin, None, 0) == (
        b"Received: from a.example (@192.0.2.7)\n  by unknown with QMTP; 1 Jan 1970 00:00:00 -0000\n"
    )


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_fault_033_nothing_that_a_stranger_says_makes_a_line(text: bytes) -> None:
    said = received.safe(text)
    assert len(said) == len(text)
    assert not set(said) & set(b"\r\n\0 ()<>;,\"'_\t")
