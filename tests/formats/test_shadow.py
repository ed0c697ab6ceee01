"""/etc/shadow: the line of an account, and whether it counts today."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import passwordhash, shadow

TEXT = b"root:*:1:0:99999:7:::\njoe:$6$x$y:20000:0:30:7:::\nold::20000::::19000:\nshort:h\njoe:second:::::::\n"


def test_the_first_line_of_a_name_is_found() -> None:
    found = [shadow.find(TEXT, name) for name in (b"root", b"joe", b"short")]
    assert [each and each.hash for each in found] == [b"*", b"$6$x$y", b"h"]


@pytest.mark.parametrize("name", [b"", b"o", b"jo", b"joe:$6$x$y", b"oe", b"h", b"short:h\njoe", b"nobody"])
def test_nothing_else_is_a_name(name: bytes) -> None:
    assert shadow.find(TEXT, name) is None


@pytest.mark.parametrize(
    ("line", "today", "counts"),
    [
        (b"a:h:20000:0:30:7:::", 20030, True),
        (b"a:h:20000:0:30:7:::", 20031, False),  # its password must be changed
        (b"a:h:20000:0::7:::", 99999, True),
        (b"a:h:0:0:99999:7:::", 20000, False),  # at the next login
        (b"a:h::::::20001:", 20000, True),
        (b"a:h::::::20000:", 20000, False),  # the account has expired
        (b"a:h:x:y:z:::-1:", 20000, True),
        (b"a:h", 20000, True),
    ],
)
def test_an_account_and_a_password_expire(line: bytes, today: int, counts: bool) -> None:
    assert shadow.Shadow(line).counts(today) is counts


def test_all_places_of_hashes_are_seen() -> None:
    assert list(shadow.hashes(TEXT)) == [b"*", b"$6$x$y", b"", b"h", b"second", b""]


@pytest.mark.parametrize(
    ("text", "is_hash"),
    [
        (b"$6$salt$abc", True), (b"$y$j9T$x$y", True), (b"$2b$05$abc", True), (b"$1$x$y", True),
        (b"$argon2id$v=19$m=1$x$y", True), (b"ab1234567890.", True), (b"_J9..K0AyUubsf9ujHmg", True),
        (b"", False), (b"!", False), (b"*", False), (b"!$6$salt$abc", False), (b"x", False), (b"NP", False),
        (b"*LK*", False), (b"$", False), (b"!!!!!!!!!!!!!", False),
    ],
)  # fmt: skip
def test_only_a_hash_can_agree_with_a_password(text: bytes, is_hash: bool) -> None:
    assert passwordhash.is_hash(text) is is_hash


@given(st.binary(), st.binary())
def test_any_bytes_have_a_line_or_none(text: bytes, name: bytes) -> None:
    found = shadow.find(text, name)
    assert found is None or name + b":" + found.hash in text
