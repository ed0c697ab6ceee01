"""An ident reply names a user, or nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.protocols import ident


@pytest.mark.parametrize(
    ("reply", "user"),
    [
        (b"1 , 2 : USERID : UNIX : joe\r\n", b"joe"),
        (b"1,2:USERID:UNIX: a b\tc \n", b"abc"),
        (b"1,2:USERID:OTHER:a:b\n", b"a:b"),
        (b"1,2:ERROR:NO-USER\r\n", b""),
        (b"\n", b""),
        (b"1,2:USERID:UNIX:joe", None),
        (b"", None),
        (b"1,2:USERID:UNIX:" + b"x" * 300 + b"\n", b"x" * ident.LONGEST_USER),
        (b"x" * ident.LONGEST_REPLY, b""),
    ],
)
def test_the_user_stands_behind_the_third_colon(reply: bytes, user: bytes | None) -> None:
    assert ident.user(reply) == user


@given(st.binary())
def test_any_reply_names_a_short_user_or_none(reply: bytes) -> None:
    user = ident.user(reply)
    assert user is None or (len(user) <= ident.LONGEST_USER and b"\n" not in user)
