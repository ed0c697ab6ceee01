"""Failures slow logins down, and lock nobody out."""

from __future__ import annotations

import pytest

from qmail.rules.loginpace import FADES, FREE, LONGEST, Pace, network

HERE, THERE = b"192.0.2.1", b"203.0.113.9"


def failing(pace: Pace, times: int, name: bytes = b"joe", address: bytes = HERE, now: float = 0.0) -> None:
    for _ in range(times):
        pace.failed(name, address, now)


def test_the_first_failures_cost_nothing_and_then_each_doubles_the_wait() -> None:
    pace, waits = Pace(), []
    for _ in range(12):
        waits.append(pace.wait(b"joe", HERE, 0.0))
        pace.failed(b"joe", HERE, 0.0)
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST, LONGEST]


def test_failures_fade() -> None:
    pace = Pace()
    failing(pace, FREE)
    assert 0.8 < pace.wait(b"joe", HERE, 60.0) < 1
    assert pace.wait(b"joe", HERE, FADES / 2) == 0
    pace = Pace()
    failing(pace, 8)
    assert pace.wait(b"joe", HERE, 0.0) == LONGEST
    assert pace.wait(b"joe", HERE, FADES) == 2
    assert pace.wait(b"joe", HERE, 2 * FADES) == 0


def test_fault_052_the_owner_at_a_known_address_waits_for_nobody_elses_failures() -> None:
    pace = Pace()
    pace.succeeded(b"joe", HERE)
    failing(pace, 100, address=THERE)
    assert pace.wait(b"joe", HERE, 0.0) == 0
    assert pace.wait(b"joe", THERE, 0.0) == LONGEST
    assert pace.wait(b"joe", b"198.51.100.7", 0.0) == LONGEST, "an address that joe is not known at"
    assert pace.wait(b"ann", b"198.51.100.7", 0.0) == 0


def test_an_address_is_slowed_for_every_account() -> None:
    pace = Pace()
    for number in range(FREE + 1):
        pace.failed(b"user%d" % number, THERE, 0.0)
    assert pace.wait(b"ann", THERE, 0.0) == 2
    assert pace.wait(b"ann", HERE, 0.0) == 0


def test_what_is_remembered_is_bounded() -> None:
    pace = Pace(most=50)
    for number in range(1000):
        pace.failed(b"u%d" % number, b"192.0.2.%d" % number, 0.0)
        pace.succeeded(b"u%d" % number, HERE)
    assert len(pace._failures) <= 100 and len(pace._known) <= 50


@pytest.mark.parametrize(
    ("address", "same"),
    [(b"192.0.2.1", b"192.0.2.1"), (b"2001:db8:1:2:3:4:5:6", b"2001:db8:1:2::"), (b"unknown", b"unknown")],
)
def test_one_client_has_a_whole_network_of_ipv6(address: bytes, same: bytes) -> None:
    assert network(address) == same
