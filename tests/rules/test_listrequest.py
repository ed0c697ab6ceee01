"""What is asked of a list by the address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import listcookie
from qmail.rules.listrequest import request

COOKIE = listcookie.make(b"k" * 16, b"sc", 5, b"joe@x").text


@pytest.mark.parametrize(
    ("text", "database", "command", "target", "argument"),
    [
        (b"subscribe", b"", b"subscribe", b"s@y", b""),
        (b"SubScribe-Joe=X", b"", b"subscribe", b"Joe@X", b""),
        (b"subscribe-a=b=x", b"", b"subscribe", b"a=b@x", b""),
        (b"subscribe-a-b=x", b"", b"subscribe", b"a-b@x", b""),
        (b"digest-subscribe", b"digest", b"subscribe", b"s@y", b""),
        (b"digest", b"digest", b"help", b"s@y", b""),
        (b"allow-unsubscribe-joe=x", b"allow", b"unsubscribe", b"joe@x", b""),
        (b"deny-query-joe=x", b"deny", b"query", b"joe@x", b""),
        (b"get.12", b"", b"get", b"s@y", b"12"),
        (b"get-12", b"", b"get", b"s@y", b"12"),
        (b"get12", b"", b"get", b"s@y", b"12"),
        (b"listn", b"", b"listn", b"s@y", b""),
        (b"sc.nonsense", b"", b"help", b"s@y", b"nonsense"),
        (b"hello", b"", b"help", b"s@y", b""),
        (b"", b"", b"help", b"s@y", b""),
        (COOKIE, b"", b"confirm", b"joe@x", COOKIE[3:-6]),
        (b"digest-" + COOKIE, b"digest", b"confirm", b"joe@x", COOKIE[3:-6]),
    ],
)
def test_a_request_is_read(text: bytes, database: bytes, command: bytes, target: bytes, argument: bytes) -> None:
    found = request(text, b"s@y")
    assert (found.database, found.command, found.target, found.argument) == (database, command, target, argument)
    assert (found.cookie is not None) is (command == b"confirm")


@given(st.binary(max_size=60))
def test_whatever_comes_is_some_request(text: bytes) -> None:
    request(text, b"s@y")
    request(b"uc." + text, b"s@y")
