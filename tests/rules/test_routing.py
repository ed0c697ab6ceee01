"""Where a recipient goes: the order of locals, virtualdomains and percenthack, and back again for bounces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.routing import LOCAL, REMOTE, Routes, variable_sender

VIRTUAL = [
    b"virt.example:joe",
    b"special@virt.example:ann",
    b".wild.example:joe-wild",
    b"ex.wild.example:",
    b"no colon",
]


def routes(
    nohost: bytes = b"here.example", percent: list[bytes] | None = None, more: list[bytes] | None = None
) -> Routes:
    return Routes(nohost, [b"here.example", b"LocalHost"], percent or [], VIRTUAL + (more or []))


@pytest.mark.parametrize(
    ("recipient", "channel", "address"),
    [
        (b"joe@here.example", LOCAL, b"joe@here.example"),
        (b"Joe@HERE.example", LOCAL, b"Joe@HERE.example"),
        (b"joe", LOCAL, b"joe@here.example"),
        (b"", LOCAL, b"@here.example"),
        (b"@here.example", LOCAL, b"@here.example"),
        (b"a@b@localhost", LOCAL, b"a@b@localhost"),
        (b"x@here.example.", REMOTE, b"x@here.example."),
        (b"x@sub.here.example", REMOTE, b"x@sub.here.example"),
        (b"x@virt.example", LOCAL, b"joe-x@virt.example"),
        (b"X@VIRT.example", LOCAL, b"joe-X@VIRT.example"),
        (b"special@virt.example", LOCAL, b"ann-special@virt.example"),
        (b"x@sub.virt.example", REMOTE, b"x@sub.virt.example"),
        (b"x@a.wild.example", LOCAL, b"joe-wild-x@a.wild.example"),
        (b"x@a.b.wild.example", LOCAL, b"joe-wild-x@a.b.wild.example"),
        (b"x@wild.example", REMOTE, b"x@wild.example"),
        (b"x@ex.wild.example", REMOTE, b"x@ex.wild.example"),
        (b"x@sub.ex.wild.example", LOCAL, b"joe-wild-x@sub.ex.wild.example"),
        (b"x@no colon", REMOTE, b"x@no colon"),
        (b"x@", REMOTE, b"x@"),
    ],
)
def test_a_recipient_goes_where_the_tables_say(recipient: bytes, channel: int, address: bytes) -> None:
    assert routes().route(recipient) == (channel, address)


@pytest.mark.parametrize(
    ("recipient", "address"),
    [
        (b"a%away.example@here.example", b"a@away.example"),
        (b"a%away.example@HERE.example", b"a@away.example"),
        (b"a%b%here.example@here.example", b"a@b"),
        (b"a%b%c@here.example", b"a%b@c"),
        (b"%b@here.example", b"@b"),
        (b"a@b%c@here.example", b"a@b@c"),
        (b"a%b@c@here.example", b"a@b@c"),
        (b"a%b@other.example", b"a%b@other.example"),
    ],
)
def test_percents_become_at_signs_for_listed_hosts_again_and_again(recipient: bytes, address: bytes) -> None:
    assert Routes(b"me", [], [b"here.example"], []).route(recipient) == (REMOTE, address)


def test_a_percenthack_host_without_a_percent_is_looked_up_as_it_is() -> None:
    assert routes(percent=[b"here.example"]).route(b"joe@here.example") == (LOCAL, b"joe@here.example")


def test_the_empty_name_catches_all_but_exceptions() -> None:
    table = routes(more=[b":joe-all"])
    assert table.route(b"bob@any.example") == (LOCAL, b"joe-all-bob@any.example")
    assert table.route(b"bob@") == (LOCAL, b"joe-all-bob@")
    assert table.route(b"bob@ex.wild.example") == (REMOTE, b"bob@ex.wild.example")


def test_the_later_line_for_a_name_counts() -> None:
    assert routes(more=[b"Virt.Example:ann"]).route(b"x@virt.example") == (LOCAL, b"ann-x@virt.example")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (b"joe-x@virt.example", b"x@virt.example"),
        (b"joe-wild-x@a.wild.example", b"x@a.wild.example"),
        (b"x@ex.wild.example", b"x@ex.wild.example"),
        (b"ann-special@virt.example", b"ann-special@virt.example"),
        (b"joe@here.example", b"joe@here.example"),
        (b"joe-x", b"joe-x"),
    ],
)
def test_bounces_show_the_address_without_its_prefix(address: bytes, shown: bytes) -> None:
    assert routes().shown(address) == shown


@pytest.mark.parametrize(
    ("sender", "recipient", "result"),
    [
        (b"owner-@host-@[]", b"joe@example.org", b"owner-joe=example.org@host"),
        (b"owner-@host-@[]", b"a@b@example.org", b"owner-a@b=example.org@host"),
        (b"list-@[]", b"joe@example.org", b"list-@[]"),
        (b"owner-@host-@[]", b"joe", b"owner-@host-@[]"),
        (b"s@x", b"joe@example.org", b"s@x"),
        (b"", b"joe@example.org", b""),
        (b"#@[]", b"joe@example.org", b"#@[]"),
        (b"-@[]", b"joe@example.org", b"-@[]"),
        (b"@-@[]", b"joe@example.org", b"joe=example.org@"),
    ],
)
def test_fault_067_a_variable_sender_names_the_recipient(sender: bytes, recipient: bytes, result: bytes) -> None:
    assert variable_sender(sender, recipient) == result


names = st.binary(max_size=12).map(lambda text: text.replace(b"\0", b"").replace(b"\n", b""))
tables = st.lists(names, max_size=5)


@given(st.binary(max_size=60), names, tables, tables, st.lists(st.tuples(names, names), max_size=5))
def test_routing_always_gives_an_address_with_a_domain(
    recipient: bytes, nohost: bytes, locals_: list[bytes], percent: list[bytes], virtual: list[tuple[bytes, bytes]]
) -> None:
    table = Routes(nohost, locals_, percent, [name + b":" + prefix for name, prefix in virtual])
    channel, address = table.route(recipient)
    assert channel in (LOCAL, REMOTE)
    assert b"@" in address
    table.shown(address)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_sender_is_either_kept_or_loses_its_mark(sender: bytes, recipient: bytes) -> None:
    result = variable_sender(sender, recipient)
    assert result == sender or (sender.endswith(b"-@[]") and b"=" in result)
