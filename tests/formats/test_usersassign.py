"""users/assign becomes records, and records answer for addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import cdb
from qmail.formats.usersassign import Account, Bad, account, look_up, record, records

TEXT = b"""=joe:joe:1:2:/joe:::
+joe-:joe:1:2:/joe:-::
+joe-x-:joe:1:2:/joe:-:pre-x-:
=Ann:ann:3:4:/ann:::
+BIG:big:5:6:/big:-:b:
=joe:late:9:9:/late:::
.
ignored
"""


def find(text: bytes, local: bytes) -> tuple[bytes, bytes] | None:
    data = cdb.make(records(text))
    found = look_up(lambda key: cdb.find(data, key), local)
    return None if found is None else (found.user, found.ext)


@pytest.mark.parametrize(
    ("local", "found"),
    [
        (b"joe", (b"joe", b"")),
        (b"JOE", (b"joe", b"")),
        (b"joe-", (b"joe", b"")),
        (b"joe-Foo-Bar", (b"joe", b"Foo-Bar")),
        (b"joe-X-Y", (b"joe", b"pre-x-Y")),
        (b"ann", (b"ann", b"")),
        (b"ann-x", None),
        (b"bigger", (b"big", b"bger")),
        (b"joex", None),
        (b"", None),
    ],
)
def test_the_longest_assignment_answers_in_any_case(local: bytes, found: tuple[bytes, bytes] | None) -> None:
    assert find(TEXT, local) == found


def test_an_empty_wildcard_answers_for_all_others() -> None:
    assert find(b"+:alias:7:8:/alias:-::\n=joe:joe:1:2:/joe:::\n.\n", b"Nobody") == (b"alias", b"Nobody")


@pytest.mark.parametrize(
    "text", [b"", b"=joe:a:1:2:/x:::\n", b"joe\n.\n", b":joe:1\n.\n", b"=joe:a:1:2:/x::\n.\n", b"=j\0:a:1:2:/x:::\n.\n"]
)
def test_fault_092_a_file_with_a_bad_line_or_without_its_end_is_no_assignment_file(text: bytes) -> None:
    with pytest.raises(Bad):
        records(text)


def test_a_uid_that_is_no_number_is_root_and_so_never_delivered_to() -> None:
    assert account(b"joe\0x\x001\0/\0\0\0").uid == 0
    assert account(b"joe\x0099999999999\x001\0/\0\0\0").uid == 0


def test_a_record_comes_back() -> None:
    again = account(record(Account(b"joe", 12, 13, b"/home/joe", b"-", b"a-b")))
    assert (again.user, again.uid, again.gid, again.home, again.dash, again.ext) == (
        b"joe", 12, 13, b"/home/joe", b"-", b"a-b",
    )  # fmt: skip


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_bad(data: bytes) -> None:
    for read in (records, account):
        try:
            read(data)
        except Bad:
            pass
