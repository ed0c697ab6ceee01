"""The checker is checked: take the syncs of any one purpose out of a recording, and a promise is broken.

Where no workload misses them, the protocol (docs/queue.md) says why they stay.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

import figures
from conftest import TOP
from crash.happenings import Synced, SyncedAll, SyncedDirectory
from crash.judge import problems
from crash.recorded import Record
from crash.syncs import MISSED_IN, NOT_MISSED, SITES, Purposes, sites
from crash.test_states import ALL


def purposes(record: Record) -> tuple[list[str | None], dict[str, int]]:
    """What each event is for, if it is a sync; and for each purpose the first that had something to do."""
    disk, known = record.disk(), Purposes()
    found: list[str | None] = []
    effective: dict[str, int] = {}
    for at, event in enumerate(record.events):
        before = len(disk.pending)
        purpose = known.of(event, disk)
        disk.do(event)
        found.append(purpose)
        if purpose and len(disk.pending) < before:
            effective.setdefault(purpose, at)
    return found, effective


def is_missed(record: Record, found: list[str | None], purpose: str, first: int) -> bool:
    """Is a promise broken without these? Nothing can be before the `first` of them."""
    events = [event for event, of in zip(record.events, found, strict=True) if of != purpose]
    since = first - found[:first].count(purpose)
    states = record.moments(events=events, since=since)
    return any(next(problems(one.state(record.mail), one.promised.acknowledged), None) for one in states)


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_without_the_syncs_of_any_one_purpose_a_promise_is_broken(record: Record, tell: Callable[[str], None]) -> None:
    begin = time.monotonic()
    found, effective = purposes(record)
    syncs = [of for event, of in zip(record.events, found, strict=True) if isinstance(event, SYNCS)]
    assert None not in syncs
    assert set(syncs) <= MISSED_IN.keys() | NOT_MISSED, "there is a sync that the list does not know"
    ours = {purpose for purpose, workload in MISSED_IN.items() if workload == record.workload}
    assert ours <= effective.keys(), f"nothing is proved of {ours - effective.keys()}"
    unmissed = [purpose for purpose in sorted(ours) if not is_missed(record, found, purpose, effective[purpose])]
    assert not unmissed, "these can be left out, and nobody would notice"
    if ALL:
        missed = [of for of in effective.keys() & NOT_MISSED if is_missed(record, found, of, effective[of])]
        assert not missed, "docs/queue.md says that nobody misses these"
    tell(f"{record.workload}: {len(syncs)} syncs for {len(set(syncs))} purposes; taken out, missed: {sorted(ours)}")
    figures.record(
        "syncs", model="strict", workload=record.workload, total=len(set(syncs)), run=len(ours),
        seconds=round(time.monotonic() - begin, 1),
    )  # fmt: skip


SYNCS = (Synced, SyncedAll, SyncedDirectory)


def test_the_list_has_every_sync_of_the_source() -> None:
    assert sites(TOP / "src/qmail") == SITES.keys(), "tests/crash/syncs.py has what each is for, and who misses it"
    assert set().union(*SITES.values()) == MISSED_IN.keys() | NOT_MISSED


def test_the_protocol_says_why_a_sync_stays_that_nobody_misses() -> None:
    text = (TOP / "docs/queue.md").read_text().partition("## Syncs that no recording misses")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(.*?)` \|", text, re.M)) == NOT_MISSED
