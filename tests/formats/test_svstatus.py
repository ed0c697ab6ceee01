"""The 18 bytes of supervise/status, and their words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import svstatus
from qmail.formats.svstatus import DOWN, ONCE, UP, Status

SECOND = 1_000_000_000
NOW = 1_000 * SECOND


def test_the_layout_is_label_pid_paused_wanted() -> None:
    status = Status(3 * SECOND + 7, 0x01020304, True, UP)
    assert svstatus.encode(status) == bytes.fromhex("400000000000000d00000007") + b"\x04\x03\x02\x01\x01u"


@given(st.integers(0, 1 << 60), st.integers(0, (1 << 32) - 1), st.booleans(), st.sampled_from([UP, DOWN, ONCE]))
def test_what_is_encoded_is_decoded(since: int, pid: int, paused: bool, wanted: bytes) -> None:
    back = svstatus.decode(svstatus.encode(Status(since, pid, paused, wanted)))
    assert back is not None
    assert (back.since, back.pid, back.paused, back.wanted) == (since, pid, paused, wanted)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_status_or_none(data: bytes) -> None:
    status = svstatus.decode(data)
    assert (status is None) == (len(data) < svstatus.SIZE)
    if status is not None:
        svstatus.describe(status, NOW, True)
        svstatus.describe_for_people(status, NOW, False)


@pytest.mark.parametrize(
    ("pid", "paused", "wanted", "normally_up", "words"),
    [
        (77, False, UP, True, b"up (pid 77) 10 seconds"),
        (77, True, DOWN, False, b"up (pid 77) 10 seconds, normally down, paused, want down"),
        (77, False, ONCE, True, b"up (pid 77) 10 seconds"),
        (0, True, DOWN, False, b"down 10 seconds"),
        (0, False, UP, True, b"down 10 seconds, normally up, want up"),
        (0, False, ONCE, True, b"down 10 seconds, normally up"),
    ],
)
def test_what_is_not_as_usual_is_named(pid: int, paused: bool, wanted: bytes, normally_up: bool, words: bytes) -> None:
    assert svstatus.describe(Status(NOW - 10 * SECOND, pid, paused, wanted), NOW, normally_up) == words


def test_a_time_to_come_is_no_time() -> None:
    assert svstatus.describe(Status(NOW + 5 * SECOND, 1, False, UP), NOW, True) == b"up (pid 1) 0 seconds"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, b"0 seconds"),
        (1, b"1 second"),
        (60, b"1 minute"),
        (61, b"1 minute 1 second"),
        (3600, b"1 hour"),
        (3601, b"1 hour"),
        (90061, b"1 day 1 hour"),
        (200000000, b"2314 days 19 hours"),
    ],
)
def test_people_read_the_two_largest_units(seconds: int, words: bytes) -> None:
    assert svstatus.duration(seconds) == words
