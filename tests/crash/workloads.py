"""What a system does while it is recorded, by name. Message number k is `message-k`, in its text and its sender."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from crash import work_accept, work_mailbox, work_system
from journeys.conftest import Host


@dataclass(frozen=True)
class Workload:
    """`work` is done with a host that runs nothing yet.

    A number is used `again`: on a `small` disk, which gives it out at once, and where there are no spares; else by one.

    `part`: "accept", "first", "finish" or "mailbox" where every strict state is a proof of that part; else "rest".
    `apart`: a kind of file that has a file system of its own, so that no syncfs does for all. `struck`: calls that
    fail, or are late, as strace is told. `before`: done before the recording begins.
    """

    work: Callable[[Host], None]
    part: str = "rest"
    small: bool = False
    again: bool = False
    apart: str = ""
    struck: str = ""
    before: Callable[[Host], None] | None = None


WORKLOADS = {
    "one_by_one": Workload(work_accept.one_by_one, "accept"),
    "pair": Workload(work_accept.pair, "accept"),
    "batch": Workload(work_accept.batch, "accept"),
    "large": Workload(work_accept.large, "accept"),
    "refused": Workload(work_accept.refused, "accept"),
    "reuse": Workload(work_accept.reuse, "accept", small=True, again=True),
    "reuse_spare": Workload(work_accept.reuse, "accept", again=True),
    "at_once": Workload(work_system.at_once, "first"),
    "finished": Workload(work_system.finished, "finish"),
    "later": Workload(work_system.later),
    "wide": Workload(work_system.wide),
    "bounces": Workload(work_system.bounces),
    "reported": Workload(work_system.reported),
    "failing": Workload(work_system.failing),
    "apart": Workload(work_system.failing, apart="bounce"),
    "killed": Workload(work_system.killed, small=True, again=True),
    "killed_spare": Workload(partial(work_system.killed, spare=True), again=True),
    # Each sync is late, so that the death comes before it.
    "killed_ending": Workload(work_system.killed_ending, struck="fsync,syncfs:delay_enter=30000"),
    "renumbered": Workload(work_system.renumbered, small=True, again=True),
    "renumbered_spare": Workload(partial(work_system.renumbered, spare=True), again=True),
    "raced": Workload(work_system.raced, small=True, again=True),
    "raced_spare": Workload(partial(work_system.raced, spare=True), again=True),
    "maildir": Workload(work_mailbox.maildir, "mailbox"),
    "new_box": Workload(work_mailbox.new_box, "mailbox"),
    "torn_box": Workload(work_mailbox.torn_box, "mailbox", before=work_mailbox.fill_box),
    "failing_box": Workload(
        work_mailbox.failing, "mailbox", struck="fsync:error=EIO:when=1", before=work_mailbox.fill_box
    ),
}
