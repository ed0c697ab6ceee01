"""Destinations of remote mail: whatever comes, no limit is exceeded, nobody is forgotten, and one takes its share."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.rules.destination import FEW, FRESH, QUEUED, Destination, table
from qmail.rules.destinations import MOST_KEPT, Destinations
from qmail.rules.outcome import DEFERRED, DONE, FAILED


class Job:
    """A message with so many recipients, who wait until they begin."""

    number, sender, last_try = 7, b"s@x", False

    def __init__(self, *recipients: bytes) -> None:
        self.recipients = recipients
        self.waits = True
        self.begun: list[int] = []

    def ended(self, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        raise AssertionError

    def recipient(self, key: int) -> bytes | None:
        return self.recipients[key]

    def begin(self, key: int, now: float, wall: int) -> None:
        self.begun.append(key)


class Remote:
    """A channel: whoever comes begins or waits, as `FirstAttempts` and `Passes` do it."""

    def __init__(self, deliveries: int, *lines: bytes, routes: dict[bytes, bytes] | None = None) -> None:
        self.deliveries = deliveries
        self.all = Destinations(deliveries)
        self.all.rule(table(lines), routes or {})
        self.running: list[tuple[bytes, Destination]] = []

    def room(self) -> bool:
        return len(self.running) < self.deliveries

    def come(self, recipient: bytes, count: int = 1, line: int = FRESH) -> Job:
        job = Job(*[recipient] * count)
        for key in range(count):
            place = self.all.of(recipient)
            if self.room() and self.all.admits(place):
                self.running.append((recipient, self.all.begun(recipient)))
            else:
                self.all.wait(place, line, job, key)
        return job

    def go(self) -> None:
        """Start whoever waits and may."""
        while self.room() and (found := self.all.next() or self.all.next_beyond()) is not None:
            self.running.append((found[2], self.all.begun(found[2])))

    def end(self, outcome: int, recipient: bytes | None = None) -> None:
        at = next(n for n, (whose, _) in enumerate(self.running) if recipient in (None, whose))
        self.all.ended(self.running.pop(at)[1], outcome)

    def count(self, recipient: bytes) -> int:
        return sum(whose == recipient for whose, _ in self.running)


@pytest.mark.parametrize(
    ("line", "name", "connections", "messages"),
    [
        (b"a.example:3:60", b"a.example", 3, 60),
        (b"A.Example : 3 : 60 ", b"a.example", 3, 60),
        (b".example:3", b".example", 3, None),
        (b"a.example::60", b"a.example", None, 60),
        (b"a.example:", b"a.example", None, None),
        (b"a.example:many:few", b"a.example", None, None),
        (b"a.example:0:0", b"a.example", 0, 0),
        (b"a.example:" + b"9" * 5000, b"a.example", 1_000_000, None),
        (b"*:3:60", b"", 3, 60),
        (b":3:60", b"", 3, 60),
        (b"[127.0.0.1]:3:60", b"[127.0.0.1]", 3, 60),
        (b"[IPv6:::1]:3:60", b"[ipv6:::1]", 3, 60),
    ],
)
def test_a_line_has_a_name_and_two_numbers(
    line: bytes, name: bytes, connections: int | None, messages: int | None
) -> None:
    ((found, limit),) = table([line]).items()
    assert (found, limit.connections, limit.messages) == (name, connections, messages)


def test_a_line_without_a_colon_is_none() -> None:
    assert table([b"a.example", b"*"]) == {}


@given(st.lists(st.binary(max_size=30)), st.binary(max_size=30))
def test_any_lines_and_any_recipient_give_a_destination(lines: list[bytes], recipient: bytes) -> None:
    remote = Remote(20, *lines)
    assert 0 <= remote.all.of(recipient).most <= 20


def test_names_that_lead_to_one_relay_are_one_destination() -> None:
    routes = {b"a.example": b"relay.example:26", b".b.example": b"Relay.example:26", b"c.example": b"relay.example"}
    all_of_it = Remote(20, routes=routes).all
    assert all_of_it.of(b"x@a.example") is all_of_it.of(b"y@z.B.example") is all_of_it.of(b"x@A.EXAMPLE")
    assert all_of_it.of(b"x@c.example") is not all_of_it.of(b"x@a.example"), "another port is another server"
    assert all_of_it.of(b"x@d.example") is not all_of_it.of(b"x@e.example")


def test_the_limit_is_that_of_the_relay_and_the_longest_name_wins() -> None:
    lines = (b"relay.example:2", b".example:7", b"*:4")
    all_of_it = Remote(20, *lines, routes={b"a.net": b"relay.example"}).all
    assert [all_of_it.of(b"x@" + host).most for host in (b"a.net", b"b.example", b"b.net")] == [2, 7, 4]


def test_a_destination_begins_with_few_at_once_and_gets_one_more_with_each_success() -> None:
    remote = Remote(20, b"*:8")
    remote.come(b"x@a", 100)
    assert len(remote.running) == FEW
    for expected in (6, 7, 8, 8):
        remote.end(DONE)
        remote.go()
        assert len(remote.running) == expected


def test_a_deferral_halves_what_runs_at_once_and_never_to_nothing() -> None:
    remote = Remote(20, b"*:8")
    remote.come(b"x@a", 100)
    for _ in range(3):
        remote.end(DONE)
        remote.go()
    assert len(remote.running) == 8
    remote.end(DEFERRED)
    remote.go()
    assert len(remote.running) == 7, "what runs goes on"
    for _ in range(3):
        remote.end(DEFERRED)
    remote.go()
    assert len(remote.running) == 4, "those ran already when it was halved, and do not halve it again"
    for _ in range(20):
        remote.end(DEFERRED)
        remote.go()
        assert len(remote.running) >= 1
    assert len(remote.running) == 1
    remote.end(DONE)
    remote.go()
    assert len(remote.running) == 2


def test_a_recipient_that_fails_for_good_says_nothing_of_its_destination() -> None:
    remote = Remote(20, b"*:8")
    remote.come(b"x@a", 100)
    for _ in range(30):
        remote.end(FAILED)
        remote.go()
        assert len(remote.running) == FEW


def grown(remote: Remote, recipient: bytes) -> None:
    """This destination has taken much."""
    for _ in range(40):
        remote.come(recipient)
        remote.go()
        remote.end(DONE, recipient)


def test_one_destination_takes_half_and_three_quarters_where_nothing_else_waits() -> None:
    remote = Remote(20)
    grown(remote, b"x@big")
    remote.come(b"x@big", 1000)
    assert remote.count(b"x@big") == 10
    remote.come(b"x@small", 3)
    assert remote.count(b"x@small") == 3
    remote.go()
    assert (remote.count(b"x@big"), len(remote.running)) == (15, 18)
    remote.come(b"x@other")
    assert len(remote.running) == 19, "a quarter stays for whoever comes"


def test_with_one_delivery_at_once_that_one_may_go_anywhere() -> None:
    for deliveries in (1, 2, 3):
        remote = Remote(deliveries)
        remote.come(b"x@a", 5)
        remote.go()
        assert 1 <= len(remote.running) <= max(1, deliveries)


def test_a_dead_destination_keeps_its_twenty_thousand_to_itself() -> None:
    remote = Remote(20)
    grown(remote, b"x@dead")
    for _ in range(20_000):
        remote.come(b"x@dead", line=QUEUED)
    remote.go()
    stuck = remote.count(b"x@dead")
    assert stuck <= 15
    for _ in range(1000):
        remote.come(b"x@good")
        assert remote.count(b"x@good") == 1
        remote.end(DONE, b"x@good")
    for _ in range(100):
        remote.end(DEFERRED, b"x@dead")
        remote.go()
    assert remote.count(b"x@dead") == 1


def test_no_start_looks_at_more_than_a_few_of_those_who_wait() -> None:
    remote = Remote(20)
    jobs = [remote.come(b"x@h%d" % (n % 200), 1, QUEUED) for n in range(20_000)]
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        for _ in range(1000):
            remote.end(DONE)
            remote.go()
    finally:
        sys.setprofile(None)
    assert sum(map(len, (job.begun for job in jobs))) > 990
    assert steps < 1000 * 150, "calls, not a walk through thousands"


def test_so_many_messages_begin_in_a_minute_and_no_more() -> None:
    remote = Remote(20, b"a:20:6")
    remote.all.tell(1000.0, 0)
    remote.come(b"x@a", 100)
    begun, now = [1000.0], 1000.0
    while len(begun) < 20:
        remote.go()
        assert not remote.all.pending(), "nobody is kept looking"
        later = remote.all.next_time()
        assert later is not None
        assert later > now
        now = later
        remote.all.tell(now, 0)
        remote.go()
        remote.end(DONE)
        begun.append(now)
    assert all(sum(start <= each < start + 60 for each in begun) <= 6 for start in begun)
    assert begun[-1] - begun[0] <= 20 * 10.0


def test_nothing_goes_where_a_number_is_0_until_the_file_says_so() -> None:
    for line in (b"a:0", b"a::0"):
        remote = Remote(20, line)
        remote.come(b"x@a", 3)
        remote.go()
        assert (remote.running, remote.all.pending(), remote.all.next_time()) == ([], False, None)
        remote.all.rule(table([b"a:2"]), {})
        remote.go()
        assert len(remote.running) == 2


def test_a_rate_that_is_taken_back_makes_nobody_wait_for_its_time() -> None:
    remote = Remote(20, b"a::1")
    remote.come(b"x@a", 3)
    remote.go()
    assert len(remote.running) == 1
    remote.all.rule({}, {})
    remote.go()
    assert len(remote.running) == 3
    assert remote.all.next_time() is None


def test_whoever_waits_goes_where_new_routes_lead() -> None:
    remote = Remote(20, b"old:0", routes={b"": b"old"})
    remote.come(b"x@a", 3)
    remote.come(b"x@b", 3)
    remote.go()
    assert remote.running == []
    remote.all.rule(table([b"old:0"]), {b"a": b"new"})
    remote.go()
    assert (remote.count(b"x@a"), remote.count(b"x@b")) == (3, 3)
    assert remote.all.of(b"x@a") is not remote.all.of(b"x@b")


def test_who_does_not_wait_any_more_is_passed_over() -> None:
    remote = Remote(20, b"a:1")
    remote.come(b"x@a")
    gone, there = remote.come(b"x@a", 600), remote.come(b"x@a")
    gone.waits = False
    remote.end(DONE)
    remote.go()
    assert (gone.begun, there.begun) == ([], [0])
    assert not remote.all.pending()


def test_fresh_mail_goes_first_and_queued_mail_has_every_fourth_turn() -> None:
    remote = Remote(1, b"a:1")
    fresh, queued = remote.come(b"x@a", 100), remote.come(b"x@a", 100, QUEUED)
    for _ in range(40):
        remote.end(DONE)
        remote.go()
    assert (len(fresh.begun), len(queued.begun)) == (30, 10)


def test_quiet_destinations_are_forgotten_and_others_are_not() -> None:
    remote = Remote(20)
    grown(remote, b"x@big")
    remote.come(b"x@big", 100)
    place = remote.all.of(b"x@big")
    for number in range(4 * MOST_KEPT):
        remote.all.of(b"x@h%d" % number)
    assert len(remote.all._known) <= MOST_KEPT
    assert len(remote.all._leads) <= 2 * MOST_KEPT
    assert remote.all.of(b"x@big") is place


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_every_recipient_begins_once_and_no_limit_is_exceeded_whatever_happens(data: st.DataObject) -> None:
    deliveries = data.draw(st.integers(1, 12))
    lines = data.draw(st.lists(st.sampled_from([b"a:2", b"b:9:600", b"c:1:60", b".d:3", b"*:4", b"*:", b"a:"])))
    remote = Remote(deliveries, *lines)
    jobs: list[Job] = []
    now, came = 0.0, 0
    for _ in range(data.draw(st.integers(5, 60))):
        act = data.draw(st.sampled_from(["come", "come", "end", "end", "go", "wait", "rule"]))
        if act == "come":
            count = data.draw(st.integers(1, 9))
            came += count
            job = remote.come(
                data.draw(st.sampled_from([b"x@a", b"x@b", b"x@c", b"x@e.d"])), count, data.draw(st.integers(0, 1))
            )
            jobs.append(job)
        elif act == "end" and remote.running:
            remote.end(data.draw(st.sampled_from([DONE, DONE, DEFERRED, FAILED])))
        elif act == "go":
            remote.go()
        elif act == "wait":
            now += data.draw(st.floats(0, 5))
            remote.all.tell(now, 0)
        elif act == "rule":
            remote.all.rule(table(lines), data.draw(st.sampled_from([{}, {b"a": b"b"}, {b"": b"r"}])))
        for place in remote.all._known.values():
            assert place.running >= 0
        assert len(remote.running) <= deliveries
    remote.all.rule({}, {})
    for _ in range(20 * came + 50):
        remote.go()
        if remote.running:
            remote.end(DONE)
        now += 1
        remote.all.tell(now, 0)
    assert not remote.running
    assert not remote.all.pending()
    assert all(len(set(job.begun)) == len(job.begun) for job in jobs)
    assert not any(any(place.lines) for place in remote.all._known.values()), "nobody is left behind"
