"""Rules are read line by line, and looked up in one order whatever the order of the lines."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import cdb, tcprules


def compiled(text: bytes) -> bytes:
    return cdb.make(tcprules.records(list(tcprules.rules(text.split(b"\n")))))


def decision(text: bytes, address: bytes, host: bytes | None = None, info: bytes | None = None) -> tcprules.Decision:
    data = compiled(text)
    return tcprules.decide(lambda key: cdb.find(data, key), address, host, info)


LADDER = (
    b"joe@1.2.3.4", b"joe@=h.example.org", b"1.2.3.4", b"=h.example.org", b"1.2.3.", b"1.2.", b"1.",
    b"=.example.org", b"=.org", b"=", b"",
)  # fmt: skip


@pytest.mark.parametrize("missing", range(len(LADDER) + 1))
def test_the_most_specific_address_decides(missing: int) -> None:
    for order in (LADDER[missing:], LADDER[missing:][::-1]):
        text = b"".join(address + b':allow,R="x"\n' for address in order)
        expected = LADDER[missing] if missing < len(LADDER) else None
        assert decision(text, b"1.2.3.4", b"h.example.org", b"joe").key == expected


def test_every_order_of_the_lines_gives_one_answer() -> None:
    lines = [b"1.2.3.4:deny", b"1.2.3.:allow", b"1.2.:deny", b"=.org:deny", b":allow"]
    for order in itertools.permutations(lines):
        text = b"\n".join(order)
        assert decision(text, b"1.2.3.4").denied
        assert not decision(text, b"1.2.3.5").denied
        assert decision(text, b"1.2.4.1", b"a.org").key == b"1.2."
        assert decision(text, b"9.9.9.9", b"a.org").denied


def test_of_two_lines_for_one_address_the_first_counts() -> None:
    assert decision(b"1.2.3.4:deny\n1.2.3.4:allow", b"1.2.3.4").denied
    assert decision(b"10.0.0.1-9:deny\n10.0.0.5:allow", b"10.0.0.5").denied
    assert not decision(b"10.0.0.5:allow\n10.0.0.1-9:deny", b"10.0.0.5").denied


def test_later_lines_for_one_address_stay_in_the_file_but_not_without_end() -> None:
    lines = [b"1.2.3.4:deny", b'1.2.3.4:allow,N="two"'] + [b"1.2.3.4:allow"] * 1000
    found = list(tcprules.records(tcprules.rules(lines)))
    assert found[:3] == [(b"1.2.3.4", b"D\0"), (b"1.2.3.4", b"+N=two\0"), (b"1.2.3.4", b"")]
    assert len(found) == tcprules.MOST_SAME


def test_a_set_but_empty_name_is_not_an_unknown_one() -> None:
    assert decision(b"=:deny", b"1.2.3.4", b"").denied
    assert not decision(b"=:deny", b"1.2.3.4").denied
    assert decision(b"@1.2.3.4:deny", b"1.2.3.4", info=b"").denied


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        (b"10.0.0.0/8", b"10.255.0.1", b"11.0.0.0"),
        (b"10.16.0.0/12", b"10.31.255.255", b"10.32.0.0"),
        (b"192.168.4.0/22", b"192.168.7.9", b"192.168.8.0"),
        (b"192.0.2.64/27", b"192.0.2.95", b"192.0.2.96"),
        (b"192.0.2.1/32", b"192.0.2.1", b"192.0.2.2"),
        (b"[2001:db8::/32]", b"2001:db8:ffff::1", b"2001:db9::1"),
        (b"[2001:db8::/29]", b"2001:dbf::1", b"2001:dc0::"),
        (b"[::1]", b"::1", b"::2"),
        (b"[2001:DB8:0::1]", b"2001:db8::1", b"2001:db8::2"),
        (b"[::1.2.3.4]", b"::1.2.3.4", b"::1.2.3.5"),
        (b"[::/0]", b"2001:db8::1", b"10.0.0.1"),
        (b"0.0.0.0/0", b"200.0.0.1", b"::1"),
    ],
)
def test_a_network_holds_its_addresses_and_no_other(network: bytes, inside: bytes, outside: bytes) -> None:
    text = network + b":deny"
    assert decision(text, inside).denied
    assert not decision(text, outside).denied


def test_the_longer_prefix_wins_whatever_the_order() -> None:
    for lines in itertools.permutations(
        [b"10.1.0.0/20:deny", b"10.1.4.0/22:allow", b"10.1.5.:deny", b"10.1.5.9:allow"]
    ):
        text = b"\n".join(lines)
        assert decision(text, b"10.1.1.1").denied
        assert not decision(text, b"10.1.4.1").denied
        assert decision(text, b"10.1.5.1").denied
        assert not decision(text, b"10.1.5.9").denied
    for lines in itertools.permutations([b"[2001:db8::/32]:deny", b"[2001:db8:1::/48]:allow", b"[2001:db8:1::1]:deny"]):
        text = b"\n".join(lines)
        assert decision(text, b"2001:db8:2::1").denied
        assert not decision(text, b"2001:db8:1::2").denied
        assert decision(text, b"2001:db8:1::1").denied


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"1.2.3.:deny\n1.2.3.4:allow", [(1, 2)]),
        (b":deny\n=.org:allow\n1.:allow", [(1, 2), (1, 3)]),
        (b"1.2.3.4:allow\n1.2.3.:deny\n:allow", []),
        (b'1.2.3.:allow\n1.2.3.4:allow,A="b"', []),
        (b"=.example.org:deny\n1.:allow", []),
        (b"=.org:deny\n=a.example.org:allow", [(1, 2)]),
        (b"=:deny\n=a.b:allow\njoe@=a.b:deny", [(1, 2), (2, 3)]),
        (b"10.0.0.0/20:deny\n10.0.4.0/22:allow", [(1, 2)]),
        (b"10.0.4.0/22:allow\n10.0.0.0/20:deny", []),
        (b"[2001:db8::/32]:deny\n[2001:db8::1]:allow", [(1, 2)]),
        (b"[2001:db8::/32]:deny\n[2001:db8:1::/48]:allow", [(1, 2)]),
        (b"1.2.3.:deny\njoe@1.2.3.4:allow", [(1, 2)]),
        (b"1.2.3.4:deny\n1.2.3.4:allow", []),
    ],
)
def test_a_line_that_decides_against_an_earlier_one_is_named(text: bytes, lines: list[tuple[int, int]]) -> None:
    pairs = tcprules.overruled(list(tcprules.rules(text.split(b"\n"))))
    assert [(earlier.number, later.number) for earlier, later in pairs] == lines


@pytest.mark.parametrize(
    "line",
    [
        b"1.2.3.4:", b"1.2.3.4:permit", b"1.:allow,", b"1.:allow,A=", b'1.:allow,A="x"y', b"1.:deny\r", b"::1:deny",
        b"[::1:deny", b"[10.0.0.0/8]:deny", b"[]:deny", b"1.2.3.a-c:deny",
    ],
)  # fmt: skip
def test_a_line_that_is_no_rule_is_named(line: bytes) -> None:
    with pytest.raises(tcprules.Malformed) as malformed:
        list(tcprules.rules([b"# a comment", line]))
    assert (malformed.value.line, malformed.value.number) == (line, 2)
    assert malformed.value.expected


@given(st.binary(max_size=80) | st.text("0123456789.-/:[]@=,\"'alowdeny \t", max_size=60).map(str.encode))
def test_any_line_is_a_rule_or_none_or_malformed(line: bytes) -> None:
    try:
        list(tcprules.overruled(found := list(tcprules.rules([line]))))
    except tcprules.Malformed:
        return
    assert sum(len(rule.keys) for rule in found) <= 256


@given(st.binary(max_size=200))
def test_any_record_is_a_decision(data: bytes) -> None:
    tcprules.Decision(b"", data)
