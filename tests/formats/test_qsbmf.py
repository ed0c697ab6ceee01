"""Notices in qmail-send's format say whom they are about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import bounce, qsbmf

BODY = st.binary(max_size=40)


def notice(*failures: tuple[bytes, bytes]) -> bytes:
    made = bounce.Bounce(b"sos-return-1-@x-@[]", b"postmaster@x")
    head = made.head(b"date", b"MAILER-DAEMON", b"x").partition(b"\n\n")[2]
    return head + b"".join(bounce.paragraph(*each) for each in failures) + made.middle() + b"<evil@x>:\n\n"


def test_every_failure_is_found() -> None:
    found = qsbmf.failures(notice((b"joe@a", b"no such user"), (b"ann@b", b"full\n\n<bob@c>:\n")))
    assert found == [(b"joe@a", b"<joe@a>:\nno such user\n"), (b"ann@b", b"<ann@b>:\nfull\n/<bob@c>:\n")]


@given(BODY, BODY)
def test_no_report_makes_failures_of_its_own(first: bytes, second: bytes) -> None:
    found = qsbmf.failures(notice((b"joe@a", first), (b"ann@b", second)))
    assert [address for address, _ in found] == [b"joe@a", b"ann@b"]


@given(st.binary(max_size=200))
def test_other_messages_are_about_nobody(body: bytes) -> None:
    assert qsbmf.failures(body) == []


def test_the_first_part_of_a_report_is_read() -> None:
    head = b"--bound\nContent-Type: text/plain\n\n"
    assert qsbmf.failures(head + notice((b"joe@a", b"x")))[0][0] == b"joe@a"
