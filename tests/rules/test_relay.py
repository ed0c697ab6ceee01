"""rules.relay: whose mail is taken, from whom."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.rules.relay import Door


@pytest.mark.parametrize(
    ("recipient", "taken"),
    [
        (b"a@one.example", True),
        (b"a@ONE.Example", True),
        (b"a@sub.one.example", False),
        (b"a@x.two.example", True),
        (b"a@x.y.two.example", True),
        (b"a@two.example", False),
        (b"a@xtwo.example", False),
        (b"a@", False),
        (b"a@.two.example", True),
        (b"noat", True),
        (b"", True),
        pytest.param(b"x@one.example@evil.example", False, id="fault_058"),
        (b"x@evil.example@one.example", True),
        (b"x%evil.example@one.example", True),
        (b"a@one.example.", False),
        (b"a@evil.example\0one.example", False),
    ],
)
def test_rcpthosts_lists_hosts_and_suffixes(recipient: bytes, taken: bool) -> None:
    assert Door([b"One.Example", b".two.example"]).accepts(recipient) is taken


def test_a_lone_dot_covers_hosts_that_end_in_one() -> None:
    door = Door([b"."])
    assert door.accepts(b"a@x.example.") and not door.accepts(b"a@x.example")


@pytest.mark.parametrize("hosts", [None, []])
def test_missing_and_empty_rcpthosts_take_only_what_has_no_host(hosts: list[bytes] | None) -> None:
    door = Door(hosts)
    assert door.accepts(b"postmaster") and not door.accepts(b"a@b") and not door.accepts(b"a@")


def test_morercpthosts_is_asked_last_from_the_longest_name_on() -> None:
    asked: list[bytes] = []

    def more(name: bytes) -> bool:
        asked.append(name)
        return name == b".example"

    door = Door([b"one.example"], more=more)
    assert door.accepts(b"a@one.example") and not asked
    assert door.accepts(b"a@B.c.Example")
    assert asked == [b"b.c.example", b".c.example", b".example"]
    assert not door.accepts(b"a@") and len(asked) == 3


@pytest.mark.parametrize(
    ("sender", "blamed"),
    [
        (b"bad@evil.example", True),
        (b"BAD@Evil.example", True),
        (b"good@evil.example", False),
        (b"x@worse.example", True),
        (b"x@sub.worse.example", False),
        (b"x@y@worse.example", True),
        (b"nohost", True),
        (b"", False),
        (b"@worse.example", True),
    ],
)
def test_badmailfrom_names_senders_and_hosts(sender: bytes, blamed: bool) -> None:
    assert Door([], [b"bad@evil.example", b"@worse.example", b"NoHost"]).blames(sender) is blamed


def test_fault_060_an_address_of_ours_in_brackets_becomes_the_local_host() -> None:
    def ours(literal: bytes) -> bool:
        return literal in (b"127.0.0.1", b"IPv6:::1")

    for address, changed in [
        (b"a@[127.0.0.1]", b"a@here"),
        (b"a@[IPv6:::1]", b"a@here"),
        (b"a@[192.0.2.1]", b"a@[192.0.2.1]"),
        (b"a@[127.0.0.1", b"a@[127.0.0.1"),
        (b"a@127.0.0.1]", b"a@127.0.0.1]"),
        (b"[127.0.0.1]", b"[127.0.0.1]"),
        (b"", b""),
    ]:
        assert Door(None, local_host=b"here", is_ours=ours).readdressed(address) == changed
        assert Door(None, is_ours=ours).readdressed(address) == address


@settings(deadline=None)
@given(st.binary(max_size=60), st.lists(st.binary(min_size=1, max_size=8)))
def test_every_address_has_an_answer(address: bytes, hosts: list[bytes]) -> None:
    door = Door(hosts, hosts)
    assert door.accepts(address) in (True, False)
    assert door.blames(address) in (True, False)
