"""Names in a Maildir are unique, and stay within it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.maildirname import fresh, unique


def test_a_name_says_when_who_and_the_how_manieth() -> None:
    assert fresh(1700000000, 12, 34, 5, b"h.example") == b"1700000000.M12P34Q5.h.example"


@given(st.binary(max_size=80))
def test_a_host_name_cannot_lead_elsewhere(host: bytes) -> None:
    name = fresh(1, 2, 3, 4, host)
    assert b"/" not in name and b":" not in name and len(name) < 200


def test_what_is_unique_stays_when_flags_come() -> None:
    assert unique(b"1.2.h:2,FS") == unique(b"1.2.h") == b"1.2.h"
