"""Which .qmail file answers, and whose name forwarded mail bears."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.dotfiles import candidates, new_sender


def test_the_longest_name_goes_first_then_the_defaults() -> None:
    assert list(candidates(b"-", b"A-b.C")) == [
        (b".qmail-a-b:c", None),
        (b".qmail-a-default", b"b.C"),
        (b".qmail-default", b"A-b.C"),
    ]


def test_an_extension_that_ends_in_default_sets_default_too() -> None:
    assert next(iter(candidates(b"-", b"a-Default"))) == (b".qmail-a-default", b"Default")


def test_the_plain_address_has_its_own_file() -> None:
    assert list(candidates(b"", b"")) == [(b".qmail", None), (b".qmaildefault", b"")]


@given(st.binary(max_size=60))
def test_fault_065_no_extension_leads_out_of_the_home(ext: bytes) -> None:
    for name, default in candidates(b"-", ext):
        assert b"." not in name[1:]
        assert name.startswith(b".qmail-")
        assert default is None or ext.endswith(default)


@pytest.mark.parametrize(
    ("files", "sender", "result"),
    [
        ((), b"s@h", b"s@h"),
        ((b".qmail-list-owner",), b"s@h", b"Joe-List-owner@d"),
        ((b".qmail-list-owner", b".qmail-list-owner-default"), b"s@h", b"Joe-List-owner-@d-@[]"),
        ((b".qmail-list-owner-default",), b"s@h", b"s@h"),
        ((b".qmail-list-owner",), b"", b""),
        ((b".qmail-list-owner",), b"#@[]", b"#@[]"),
    ],
)
def test_fault_091_owner_files_change_the_sender(files: tuple[bytes, ...], sender: bytes, result: bytes) -> None:
    assert new_sender(sender, b"Joe-List", b"d", b"-", b"List", files.__contains__) == result
