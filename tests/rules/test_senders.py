"""Who has logged in sends as itself, or as control/senders says."""

from __future__ import annotations

import pytest

from qmail.rules.senders import may_send_as, table

SENDERS = table(
    [b"ann:ann@other.example", b"ann:@lists.example", b"boss:*", b"joe@dom.example: info@dom.example", b"x"]
)


@pytest.mark.parametrize(
    ("user", "sender", "may"),
    [
        (b"joe", b"joe@ours.example", True),
        (b"joe", b"JOE@Ours.Example", True),
        (b"joe", b"joe-list@ours.example", True),
        (b"joe", b"joey@ours.example", False),
        (b"joe", b"joe@theirs.example", False),
        (b"joe", b"joe", False),
        (b"joe", b"", True),
        (b"sue@dom.example", b"sue@dom.example", True),
        (b"sue@dom.example", b"sue-x@dom.example", False),
        (b"ann", b"ann@other.example", True),
        (b"ann", b"any@LISTS.example", True),
        (b"ann", b"ann@ours.example", False),
        (b"boss", b"anybody@anywhere.example", True),
        (b"joe@dom.example", b"info@dom.example", True),
        (b"joe@dom.example", b"joe@dom.example", False),
    ],
)
def test_fault_053_a_sender_must_be_the_users_own(user: bytes, sender: bytes, may: bool) -> None:
    assert may_send_as(SENDERS, user, sender, lambda address: address.lower().endswith(b"@ours.example")) is may


def test_a_user_whose_lines_name_nobody_sends_as_nobody() -> None:
    assert not may_send_as(table([b"joe:"]), b"joe", b"joe@ours.example", lambda _: True)
