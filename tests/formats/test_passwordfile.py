"""users/passwords as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import passwordfile
from qmail.formats.passwordfile import Login

TEXT = b"""# mine:
:c2VlZA==
joe:$6$a$b:::SCRAM-SHA-256$1:a$b:c
ann@example.org:$y$j:vmail:ann
joe:second

no colon
#hidden:hash
last:h"""
FIELD = st.binary().map(lambda text: text.replace(b":", b"").replace(b"\n", b""))
NAMES = st.binary(max_size=20).filter(passwordfile.may_be_name)


def fields(login: Login) -> tuple[bytes, ...]:
    return login.name, login.hash, login.account, login.home, login.keys


def test_each_line_is_a_login_and_the_first_one_counts() -> None:
    assert [fields(each) for each in passwordfile.logins(TEXT).values()] == [
        (b"joe", b"$6$a$b", b"", b"", b"SCRAM-SHA-256$1:a$b:c"),
        (b"ann@example.org", b"$y$j", b"vmail", b"ann", b""),
        (b"last", b"h", b"", b"", b""),
    ]
    assert passwordfile.seed(TEXT) == b"seed"


def test_a_login_takes_the_place_of_its_line_and_nothing_else_changes() -> None:
    changed = passwordfile.with_login(TEXT, Login(b"joe", b"new"))
    assert changed == TEXT.replace(b"joe:$6$a$b:::SCRAM-SHA-256$1:a$b:c\n", b"joe:new\n").replace(
        b"joe:second\n", b""
    ) + b"\n"  # fmt: skip
    assert passwordfile.with_login(b"", Login(b"a", b"b")) == b"a:b\n"


def test_a_login_that_is_taken_away_is_gone() -> None:
    assert b"joe" not in passwordfile.without(TEXT, b"joe")
    assert passwordfile.without(TEXT, b"oe") == TEXT + b"\n"


@given(st.binary(), NAMES, FIELD, FIELD, FIELD, st.binary().map(lambda text: text.replace(b"\n", b"")))
def test_whatever_is_written_is_read_again(
    text: bytes, name: bytes, hash: bytes, account: bytes, home: bytes, keys: bytes
) -> None:
    login = Login(name, hash, account, home, keys.rstrip(b":"))
    before = passwordfile.logins(text)
    after = passwordfile.logins(passwordfile.with_login(text, login))
    assert fields(after.pop(name)) == fields(login)
    before.pop(name, None)
    assert {key: fields(each) for key, each in after.items()} == {key: fields(each) for key, each in before.items()}


@pytest.mark.parametrize("name", [b"", b"#a", b"a:b", b"a\nb", b"a\0", b"a" * 129, b"\x7f"])
def test_not_everything_is_a_name(name: bytes) -> None:
    assert not passwordfile.may_be_name(name)


def test_a_new_file_has_a_seed() -> None:
    assert passwordfile.seed(passwordfile.first(b"chance")) == b"chance"
    assert passwordfile.logins(passwordfile.first(b"chance")) == {}
    assert passwordfile.seed(b":!!\n") == passwordfile.seed(b"") == b""
