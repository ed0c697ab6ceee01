"""Messages leave their first attempt once: a second order to remove one would hit the next message of its number."""

from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path

import pytest

from qmail.formats import bounce
from qmail.formats.mailparameters import DELAY, SUCCESS, Parameters, Wish
from qmail.host.loop import Loop
from qmail.protocols import submit
from qmail.rules.destinations import Destinations
from qmail.rules.firstattempt import PATIENCE, FirstAttempts
from qmail.rules.freshmessage import Fresh
from qmail.rules.outcome import DONE, FAILED
from qmail.rules.retry import AFTER_TROUBLE
from qmail.rules.routing import LOCAL
from qmail.stores.bouncers import Names
from qmail.stores.bouncing import Bouncing
from qmail.stores.clearing import Clearing
from qmail.stores.deliverystate import DeliveryState
from qmail.stores.home import Home
from qmail.stores.incoming import Incoming
from qmail.stores.notice import Notice
from qmail.stores.passes import Passes
from qmail.stores.queue import Queue
from qmail.stores.settling import A_BATCH, Settling

MORE_THAN_A_BATCH = A_BATCH + 6


class Bench:
    """The pieces that a message goes through, and a qmail-clean that removes everything it is asked to."""

    def __init__(self, home: Path) -> None:
        self.queue = Queue(os.fsencode(home / "queue"))
        self.said: list[bytes] = []
        self.orders, orders = os.pipe()
        answers, self.answers = os.pipe()
        for descriptor in (self.orders, answers):
            os.set_blocking(descriptor, False)
        say = self.said.append
        incoming, state = Incoming(self.queue), DeliveryState(self.queue)
        destinations = Destinations(1000)
        self.first = FirstAttempts((1000, 1000), destinations, lambda recipient: recipient)
        passes = Passes(state, 1000, destinations, lambda recipient: recipient, say, (), lambda number: False)
        self.clearing = Clearing(orders, answers, incoming, say)
        names = Names(b"MAILER-DAEMON", b"here.example", b"postmaster@here.example")
        self.loop = Loop()
        self.bouncing = Bouncing(Home(os.fsencode(home)), {}, self.queue, names, self.loop, lambda recipient: recipient)
        self.settling = Settling(self.first, passes, state, incoming, self.clearing, self.bouncing, say)
        self.asked: Counter[bytes] = Counter()
        self.now = 1000

    def begin(self, count: int) -> list[Fresh]:
        """So many messages, each with a delivery under way."""
        fresh = [Fresh(number, b"a@b", [(LOCAL, b"joe@here.example")]) for number in range(1, count + 1)]
        for each in fresh:
            self.first.add(each, self.now)
            assert self.first.next(LOCAL, self.now) is not None
        return fresh

    def late(self) -> None:
        """None of them has ended in time."""
        self.first.overdue(self.now + PATIENCE)

    def end(self, fresh: Fresh) -> None:
        """Its delivery is done."""
        fresh.ended(0, b"joe@here.example", DONE, b"")

    def rounds(self) -> None:
        """Until nothing more happens."""
        while self.settling.pending() or self.clearing.busy:
            self.settling.round(self.now)
            self.clearing.push()
            try:
                orders = os.read(self.orders, 65536).split(b"\0")[:-1]
            except BlockingIOError:
                continue
            self.asked.update(orders)
            os.write(self.answers, b"+" * len(orders))
            self.clearing.answered(self.now)


@pytest.fixture
def bench(home: Path) -> Bench:
    return Bench(home)


def test_who_completes_while_many_wait_for_their_files_goes_once(bench: Bench) -> None:
    fresh = bench.begin(MORE_THAN_A_BATCH)
    bench.late()
    bench.settling.round(bench.now)
    for each in fresh[A_BATCH:]:
        bench.end(each)
    bench.rounds()
    gone = [each.number for each in fresh[A_BATCH:]]
    assert {order: count for order, count in bench.asked.items() if count > 1} == {}
    assert sorted(bench.asked) == sorted(
        [b"todo/%d" % each.number for each in fresh[:A_BATCH]]
        + [order % number for number in gone for order in (b"todo/%d", b"foop/%d")]
    )
    assert bench.said.count(b"end msg %d\n" % gone[0]) == 1


def test_who_completes_after_it_was_refused_its_files_goes_once(bench: Bench) -> None:
    (fresh,) = bench.begin(1)
    bench.late()
    info = Path(os.fsdecode(bench.queue.directory(b"info", 1)))
    info.rename(info.with_name("gone"))
    bench.settling.round(bench.now)
    assert any(b"info/1/1" in line for line in bench.said)
    info.with_name("gone").rename(info)
    bench.end(fresh)
    bench.rounds()
    bench.now += AFTER_TROUBLE
    bench.settling.round(bench.now)
    bench.rounds()
    assert dict(bench.asked) == {b"todo/1": 1, b"foop/1": 1}


def door(home: Path) -> socket.socket:
    """Where notices are taken, as qmail-queued has it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(home / "qq/socket"))
    listener.listen(100)
    listener.settimeout(30)
    return listener


def test_who_completes_in_the_round_in_which_his_success_was_told_goes_once(home: Path, bench: Bench) -> None:
    joe, ann = b"joe@here.example", b"ann@here.example"
    fresh = Fresh(1, b"a@b", [(LOCAL, joe), (LOCAL, ann)], Parameters(wishes={joe: Wish(SUCCESS)}))
    message = Path(os.fsdecode(bench.queue.file(b"mess", 1)))
    message.write_bytes(b"Subject: t\n\nhello\n")
    with door(home) as listener:
        bench.first.add(fresh, bench.now)
        assert [bench.first.next(LOCAL, bench.now) is not None for _ in range(2)] == [True, True]
        fresh.ended(0, joe, DONE, b"did 1+0+0\n")
        bench.late()
        bench.settling.round(bench.now)  # his success is being told
        queued, _ = listener.accept()
        with queued:
            said = b""
            while not said.endswith(submit.frame(submit.COMMIT)):
                bench.loop.round(30)
                said += queued.recv(65536)
            fresh.ended(1, ann, DONE, b"did 1+0+0\n")
            queued.sendall(submit.answer(0, 7))
            while bench.bouncing.busy:
                bench.loop.round(30)
    bench.rounds()
    assert dict(bench.asked) == {b"todo/1": 1, b"foop/1": 1}
    assert bench.said.count(b"end msg 1\n") == 1


def test_any_number_of_notices_wait_while_nobody_takes_them(home: Path, bench: Bench) -> None:
    with door(home) as listener:
        for each in bench.begin(700):
            each.ended(0, b"joe@here.example", FAILED, b"no\n")
        bench.settling.round(bench.now)
        connections = [listener.accept()[0] for _ in range(8)]
    (home / "qq/socket").unlink()
    for connection in connections:
        connection.close()
    while bench.bouncing.busy:
        bench.loop.round(30)
    assert bench.said.count(b"warning: trouble injecting bounce message, will try later\n") == 700


@pytest.mark.parametrize("gone", [False, True])
def test_a_delay_is_not_told_with_another_message_of_the_same_number(home: Path, bench: Bench, gone: bool) -> None:
    message = Path(os.fsdecode(bench.queue.file(b"mess", 9)))
    message.write_bytes(b"Subject: t\n\nhello\n")
    told: list[int | None] = []
    with door(home) as listener:
        for each in bench.begin(8):
            each.ended(0, b"joe@here.example", FAILED, b"no\n")
        bench.settling.round(bench.now)
        others = [listener.accept()[0] for _ in range(8)]
        asked = Parameters(wishes={b"joe@here.example": Wish(DELAY)})
        text = b"<joe@here.example>:\nlater\n\n"
        bench.bouncing.tell(Notice(9, b"a@b", asked, subject=bounce.DELAY, text=text), told.append)
        if gone:
            message.write_bytes(b"Subject: another\n\nsecret\n")
            os.utime(message, ns=(1, 1))
        for other in others:
            other.close()
        bench.loop.round(30)  # now it is its turn
        said = b""
        with listener.accept()[0] as queued:
            queued.settimeout(30)
            while not told:
                bench.loop.round(0.1)
                if not told and not said.endswith(submit.frame(submit.COMMIT)):
                    said += queued.recv(65536)
                    if said.endswith(submit.frame(submit.COMMIT)):
                        queued.sendall(submit.answer(0, 7))
    assert (told, b"secret" in said) == ([None if gone else 7], False)
