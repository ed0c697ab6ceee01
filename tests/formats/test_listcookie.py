"""Cookies cannot be forged, moved to another address, or kept for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import listcookie

KEY = b"a key that nobody knows"
ADDRESS = st.binary(min_size=1, max_size=30).filter(lambda text: b"\0" not in text and b"=" not in text)


@given(ADDRESS, ADDRESS)
def test_what_was_made_is_read_and_good(local: bytes, host: bytes) -> None:
    address = local.replace(b"@", b"") + b"@" + host.replace(b"@", b"")
    made = listcookie.make(KEY, b"sc", 1700000000, address)
    found = listcookie.parse(made.text)
    assert found is not None
    assert (found.purpose, found.seconds, found.address) == (b"sc", 1700000000, address)
    assert found.good(KEY, 1700000000 + 999, 1000)


def test_case_does_not_matter_since_mail_systems_change_it() -> None:
    made = listcookie.make(KEY, b"sc", 1700000000, b"Joe@Example.org")
    found = listcookie.parse(made.text.upper())
    assert found is not None
    assert found.good(KEY, 1700000000, 1000)


TEXT = listcookie.make(KEY, b"sc", 1700000000, b"joe@example.org").text.decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("joe", "ann"),
        TEXT.replace("=example", "=examples"),
        TEXT.replace("sc.", "uc."),
        TEXT.replace("1700000000", "1700000001"),
        TEXT.replace(TEXT[14:16], "zz"),
        TEXT.replace(TEXT[14:34], ""),
        TEXT.replace(TEXT[14:34], TEXT[14:33]),
    ],
)
def test_a_changed_cookie_is_not_good(text: str) -> None:
    found = listcookie.parse(text.encode())
    assert found is None or not found.good(KEY, 1700000000, 1000)


@pytest.mark.parametrize(("now", "good"), [(0, True), (1000, True), (1001, False), (-1, False)])
def test_a_cookie_is_good_for_its_time(now: int, good: bool) -> None:
    found = listcookie.parse(TEXT.encode())
    assert found is not None
    assert found.good(KEY, 1700000000 + now, 1000) is good
    assert not found.good(KEY + b"x", 1700000000 + now, 1000)


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_is_no_cookie(text: bytes) -> None:
    found = listcookie.parse(text)
    assert found is None or not found.good(KEY, 1700000000, 10**12)
    found = listcookie.parse(b"sc.1." + text)
    assert found is None or not found.good(KEY, 1700000000, 10**12)
