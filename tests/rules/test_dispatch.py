"""Deliveries that run: numbers, limits, and what reports mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.destinations import Destinations
from qmail.rules.dispatch import MOST, Dispatch
from qmail.rules.outcome import DEFERRED, DONE, FAILED
from qmail.rules.routing import LOCAL, REMOTE


class Job:
    """What is delivered, and how it ended."""

    def __init__(self, *, last_try: bool = False, sender: bytes = b"s@x") -> None:
        self.number, self.sender, self.last_try = 7, sender, last_try
        self.ends: list[tuple[int, bytes, int, bytes]] = []

    def ended(self, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        self.ends.append((key, recipient, outcome, report))


@pytest.mark.parametrize(
    ("report", "last_try", "line", "outcome"),
    [
        (b"Kdid 1+0+0\n", False, b"success: did_1+0+0/", DONE),
        (b"K", False, b"success: ", DONE),
        (b"Znot now\n", False, b"deferral: not_now/", DEFERRED),
        (b"Dno\n", True, b"failure: no/", FAILED),
        (
            b"Znot now\n",
            True,
            b"failure: not_now/I'm_not_going_to_try_again;_this_message_has_been_in_the_queue_too_long./",
            FAILED,
        ),
        (b"Kok\0hidden", False, b"success: ok", DONE),
        (b"", False, b"report mangled, will defer", DEFERRED),
        (b"k", True, b"report mangled, will defer", DEFERRED),
        (b"\0K", False, b"report mangled, will defer", DEFERRED),
        (b"K" + b"x" * 20000, False, b"success: " + b"x" * 9999, DONE),
    ],
)
def test_a_report_is_logged_and_told_to_the_job(report: bytes, last_try: bool, line: bytes, outcome: int) -> None:
    lines: list[bytes] = []
    dispatch = Dispatch((2, 3), Destinations(3), lines.append)
    job = Job(last_try=last_try)
    slot, sender = dispatch.start(LOCAL, job, 5, b"joe@x")
    assert (slot, sender) == (0, b"s@x")
    dispatch.report(LOCAL, slot, report)
    assert lines == [
        b"starting delivery 1: msg 7 to local joe@x\n",
        b"status: local 1/2 remote 0/3\n",
        b"delivery 1: " + line + b"\n",
        b"status: local 0/2 remote 0/3\n",
    ]
    assert [end[:3] for end in job.ends] == [(5, b"joe@x", outcome)]


def test_fault_101_a_report_of_nothing_that_runs_is_out_of_range() -> None:
    lines: list[bytes] = []
    dispatch = Dispatch((2, 3), Destinations(3), lines.append)
    slot, _ = dispatch.start(LOCAL, Job(), 0, b"joe@x")
    lines.clear()
    for channel, number in ((REMOTE, slot), (LOCAL, 1), (LOCAL, 60000)):
        dispatch.report(channel, number, b"Kok")
    assert lines == [b"warning: internal error: delivery report out of range\n"] * 3
    assert dispatch.running(LOCAL) == 1


def test_the_sender_of_a_list_is_told_for_each_recipient() -> None:
    dispatch = Dispatch((2, 3), Destinations(3), lambda line: None)
    assert dispatch.start(REMOTE, Job(sender=b"owner-@host-@[]"), 0, b"joe@x") == (0, b"owner-joe=x@host")


@given(st.lists(st.one_of(st.none(), st.integers(0, 5))), st.integers(0, 4))
def test_no_more_run_than_may_and_no_number_is_given_twice(acts: list[int | None], limit: int) -> None:
    dispatch = Dispatch((limit, 0), Destinations(0), lambda line: None)
    running: set[int] = set()
    for act in acts:
        if act is None:
            assert dispatch.room(LOCAL) == limit - len(running)
            if dispatch.room(LOCAL):
                slot, _ = dispatch.start(LOCAL, Job(), 0, b"joe@x")
                assert slot not in running
                assert 0 <= slot < limit
                running.add(slot)
        else:
            dispatch.report(LOCAL, act, b"Kok")
            running.discard(act)
        assert dispatch.running(LOCAL) == len(running)


def test_concurrency_has_a_limit_of_its_own() -> None:
    assert Dispatch((10**18, 5), Destinations(5), lambda line: None).limits == [MOST, 5]
