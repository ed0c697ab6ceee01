"""What qmail-lspawn and its workers say to each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.usersassign import Account
from qmail.protocols import localjobs as talk

words = st.binary(max_size=20)


@given(st.integers(0, 65535), st.integers(0, 2**63), st.lists(words, min_size=5, max_size=5))
def test_jobs_come_back(number: int, size: int, texts: list[bytes]) -> None:
    packet = talk.TOGETHER + talk.job(talk.Job(number, size, *texts)) * 2
    jobs = talk.parse_jobs(packet)
    assert len(jobs) == 2
    for job in jobs:
        assert (job.number, job.size, job.local, job.dash, job.ext, job.host, job.sender) == (number, size, *texts)


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 255), words), max_size=5))
def test_reports_come_back(reports: list[tuple[int, int, bytes]]) -> None:
    assert talk.parse_reports(b"".join(talk.report(*each) for each in reports)) == reports


def test_workers_and_questions_come_back() -> None:
    serial, who = talk.parse_worker(talk.worker(9, Account(b"joe", 1, 2, b"/joe", b"-", b"x")))
    assert (serial, who.user, who.uid, who.gid, who.home, who.dash) == (9, b"joe", 1, 2, b"/joe", b"")
    assert talk.parse_started(talk.started(9)) == 9
    assert talk.parse_questions(talk.question(1, b"a") + talk.question(2, b"")) == [(1, b"a"), (2, b"")]


@pytest.mark.parametrize(
    "parse", [talk.parse_jobs, talk.parse_reports, talk.parse_worker, talk.parse_started, talk.parse_questions]
)
@given(packet=st.binary(max_size=200))
def test_any_bytes_are_something_or_broken(parse: object, packet: bytes) -> None:
    try:
        parse(packet)  # type: ignore[operator]
    except talk.Broken:
        pass
