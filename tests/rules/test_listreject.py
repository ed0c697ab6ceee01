"""What a list does not take."""

from __future__ import annotations

import pytest

from qmail.rules import listreject
from qmail.rules.listreject import Wishes, fault, limits, size_fault


def wishes(**more: object) -> Wishes:
    made = Wishes()
    made.address = b"Sos@x.example"
    for name, value in more.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("header", "more", "expected"),
    [
        (b"Subject: hello\nTo: sos@x.example", {}, None),
        (b"Subject: hello\nTo: a@b,\n SOS@X.example\nCc: c", {}, None),
        (b"Subject: hello\nCc: sos@x.example", {}, None),
        (b"Subject: hello\nTo: a@b", {}, listreject.NOT_ADDRESSED),
        (b"Subject: hello", {"address": b""}, None),
        (b"To: sos@x.example", {}, listreject.NO_SUBJECT),
        (b"Subject: \nTo: sos@x.example", {}, listreject.NO_SUBJECT),
        (b"To: sos@x.example", {"subject": False}, None),
        (b"Subject: Unsubscribe\nTo: sos@x.example", {}, listreject.COMMAND),
        (b"Subject: Unsubscribe\nTo: sos@x.example", {"no_commands": False}, None),
        (b"Subject: unsubscribe me\nTo: sos@x.example", {}, None),
        (b"Subject: unsubscribe me\nTo: sos@x.example", {"no_starts": True}, listreject.COMMAND),
        (b"X-Loop: y\nSubject: hello\nTo: sos@x.example", {"fields": {b"x-loop"}}, listreject.BAD_FIELD % b"x-loop"),
    ],
)
def test_a_header_is_taken_or_not(header: bytes, more: dict[str, object], expected: bytes | None) -> None:
    text = header.replace(b"\n ", b"\0 ")
    fields = [line.replace(b"\0", b"\n") + b"\n" for line in text.split(b"\n")]
    assert fault(fields, wishes(**more)) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [(b"30000:2", (30000, 2)), (b"0:2", (0, 2)), (b"5", (5, 0)), (b"", (0, 0)), (b":7", (0, 7))]
)
def test_limits_are_read(text: bytes, expected: tuple[int, int]) -> None:
    assert limits(text) == expected


def test_sizes_have_bounds() -> None:
    assert size_fault(11, 10, 0, whole=False) == listreject.TOO_LARGE % 10
    assert size_fault(10, 10, 0, whole=True) is None
    assert size_fault(1, 10, 2, whole=False) is None
    assert size_fault(1, 10, 2, whole=True) == listreject.TOO_SMALL % 2
    assert size_fault(10**9, 0, 0, whole=True) is None
