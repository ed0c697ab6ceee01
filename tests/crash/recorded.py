"""One workload as recorded, and every state that a cut may leave of it, with what was promised by then."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from crash import recording, system_driver, work_mailbox
from crash.disk import Disk, Tree, snapshot
from crash.exploring import explore
from crash.happenings import Event, Linked, Opened, Sent
from crash.judge import Mail, Name, State
from crash.models import MODELS, STRICT, Model
from crash.workloads import WORKLOADS
from qmail.formats.bounce import DOUBLE

ANSWER = re.compile(rb"R\0\0\0.0 (\d+)", re.DOTALL)
TAKEN = re.compile(rb"250 taken message-(\d+) (.*)\r\n")
GIVEN_UP = re.compile(rb"given up (\d+)\n")
REPORTED = re.compile(rb"reported (\d+)\n")
FAILED = re.compile(rb"/queue/bounce/(\d+)$")


@dataclass(frozen=True)
class Promised:
    """What was acknowledged by some moment, and what another host had taken over (with how often)."""

    acknowledged: frozenset[Name]
    taken: frozenset[tuple[tuple[Name, bytes], int]]


@dataclass(frozen=True)
class Moment:
    """A state that a cut may leave: how it comes about, the files, and what was promised."""

    how: str
    tree: Tree
    promised: Promised

    def state(self, mail: Mail) -> State:
        """The same, taken apart."""
        return State(self.tree, mail, dict(self.promised.taken))


class Account:
    """What is promised, kept while things happen."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self._acknowledged: set[Name] = set()
        self._taken: Counter[tuple[Name, bytes]] = Counter()

    def tell(self, event: Event, disk: Disk) -> None:
        """This is about to happen."""
        match event:
            case Sent(_, data):
                if answer := ANSWER.match(data):
                    self._acknowledged.add(self._mail.by_qp[int(answer[1])])
                elif taken := TAKEN.match(data):
                    self._taken.update((("message", int(taken[1])), one) for one in taken[2].split())
                elif reported := REPORTED.match(data):
                    self._acknowledged.add(("message", int(reported[1])))
                elif given_up := GIVEN_UP.match(data):
                    self._acknowledged.discard(("message", int(given_up[1])))
            case Opened(path):
                if failed := FAILED.search(path):
                    number = int(failed[1])
                    live = disk.tree(tuple(disk.pending))
                    name = self._mail.name(live[b"home/queue/mess/%d/%d" % (number % 23, number)])
                    if name is not None and self._mail.envelope(name).sender == DOUBLE:
                        self._acknowledged.discard(name)  # nobody is to be told, and it may go at any time

    def promised(self) -> Promised:
        """By now."""
        return Promised(frozenset(self._acknowledged), frozenset(self._taken.items()))


class Record:
    """A workload, recorded below `place`, which is made."""

    def __init__(self, workload: str, place: Path) -> None:
        how = WORKLOADS[workload]
        self.workload, self.part = workload, how.part
        self.top = place / "top"
        output, driver = place / "strace", [sys.executable, system_driver.__file__, str(self.top)]
        before: list[str] = []
        if how.small:
            before = recording.on_small_disk(place / "image", self.top, *driver, "prepare", "plain")
        else:
            self.top.mkdir()
        host = system_driver.prepare(self.top)
        if how.before:
            how.before(host)
        if how.apart:
            before = recording.on_two_disks(self.top / "home/queue" / how.apart)
        places = system_driver.places(self.top)
        self.before = snapshot(self.top, *places)
        said = subprocess.run(
            [*before, *recording.strace(output, how.struck), *driver, workload],
            stdout=subprocess.PIPE, check=True, timeout=100,
        ).stdout  # fmt: skip
        if how.again:
            found = re.search(rb"\b(\d+) numbers for (\d+) messages\n", said)
            assert found, said
            assert int(found[1]) < int(found[2]), f"nothing would be proved: {said!r}"
        self.events = recording.events(output, *places)
        if how.again and not how.small:
            uses = Counter(one.target for one in self.events if isinstance(one, Linked) and b"/spare/" in one.source)
            assert max(uses.values(), default=0) > 1, f"no spare was used again: {uses}"

    @cached_property
    def mail(self) -> Mail:
        """The messages of it."""
        mail = Mail(self.events)
        if self.part == "mailbox":
            for number in work_mailbox.NUMBERS:
                mail.add(number, work_mailbox.message(number), work_mailbox.envelope(number))
        return mail

    def with_more(self, moment: Moment) -> Moment:
        """The same; where deliveries were recorded alone, with messages in the queue that are to be delivered next."""
        if self.part != "mailbox":
            return moment
        tree, names = dict(moment.tree), set(moment.promised.acknowledged)
        for number in work_mailbox.NEXT:
            tree[b"home/queue/mess/%d/%d" % (number % 23, number)] = work_mailbox.message(number)
            for kind in (b"intd", b"todo"):
                tree[b"home/queue/%b/%d" % (kind, number)] = work_mailbox.envelope(number)
            names.add(("message", number))
        return Moment(moment.how, tree, Promised(frozenset(names), moment.promised.taken))

    def disk(self, model: Model = STRICT) -> Disk:
        """The disk before anything happened."""
        return Disk(bytes(self.top), *self.before, model)

    def moments(
        self,
        model: str = "strict",
        count: Counter[str] | None = None,
        *,
        chance: int = 20,
        events: Sequence[Event] | None = None,
        since: int = 0,
    ) -> Iterator[Moment]:
        """All different states after each step from `since` on; `events` in place of what was recorded."""
        account = Account(self.mail)
        disk = self.disk(MODELS[model])
        steps = self.events if events is None else events
        states = explore(
            disk, steps, account.tell, account.promised, Counter() if count is None else count,
            chance=chance, since=since,
        )  # fmt: skip
        for how, tree in states:
            yield Moment(how, tree, account.promised())
