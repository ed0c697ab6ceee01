"""Instructions are followed to their ends (fastforward(1), setforward(1))."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import forwardtable
from qmail.rules import forwardsearch
from qmail.rules.forwardsearch import DEEPEST, Endless, Orders, orders

LISTS = {b"./one": [b"&a@x", b"./two", b"&t@h"], b"./two": [b"&b@x", b"&a@x", b"./one"], b"./none": []}


def members(path: bytes) -> Iterator[bytes]:
    return iter(LISTS[path])


def follow(table: str, recipient: str, sender: bytes = b"s@s") -> Orders | None:
    records = dict(reversed(list(forwardtable.records(table.encode()))))  # the first of its key counts
    return orders(recipient.encode(), sender, records.get, members)


@pytest.mark.parametrize(
    ("table", "recipient", "to"),
    [
        ("a@h: 1@x; @h: 2@x; a@: 3@x;", "A@H", ["1@x"]),
        ("@h: 2@x; a@: 3@x;", "a@h", ["2@x"]),
        ("a@: 3@x;", "a@h", ["3@x"]),
        ("a\\@b@: 3@x; @b@h: 4@x;", "a@b@h", ["3@x"]),
        ("a: 1@x; @a: 2@x;", "a", ["1@x"]),
        ("a@h: B@h, c@x; b@h: 1@x, c@x, C@x;", "a@h", ["1@x", "c@x", "C@x"]),
        ("a@h: b@q, z@w; b@: 1@x; @w: 2@x;", "a@h", ["b@q", "z@w"]),  # wildcards are for the incoming address
        ("a@h: l@h; l@h: ?o@h, 1@x;", "a@h", ["l@h"]),  # an owner's list gets the message, and sends it itself
        ("a@h: b@h, 1@x; b@h: a@h, b@h, 2@x;", "a@h", ["1@x", "2@x"]),
        ("a@h: ./one, c@x; t@h: 1@x;", "a@h", ["a@x", "b@x", "1@x", "c@x"]),
    ],
)
def test_everybody_is_found_once(table: str, recipient: str, to: list[str]) -> None:
    found = follow(table, recipient)
    assert found is not None and found.recipients == [each.encode() for each in to]
    assert found.sender == b"s@s"


@pytest.mark.parametrize(("sender", "leaves_as"), [(b"s@s", b"o@h"), (b"", b""), (b"#@[]", b"#@[]")])
def test_mail_leaves_in_the_name_of_the_owner_but_for_bounces(sender: bytes, leaves_as: bytes) -> None:
    found = follow("a@h: 1@x, b@h; a@h: ?o@h; b@h: 2@x;", "a@h", sender)
    assert found is not None
    assert (found.sender, found.recipients) == (leaves_as, [b"1@x", b"2@x"])


def test_each_program_runs_as_often_as_it_is_named() -> None:
    found = follow("a@h: |x, !y, b@h; b@h: |x;", "a@h")
    assert found is not None and found.programs == [b"|x", b"!y", b"|x"]


@pytest.mark.parametrize("recipient", ["b@h", "", "@", "h"])
def test_who_is_not_there_is_unknown(recipient: str) -> None:
    assert follow("a@h: b@x; o@h: ?p@h;", recipient) is None


def test_an_empty_list_is_an_answer_and_a_circle_is_none() -> None:
    empty, circle = follow("a@h: ./none;", "a@h"), follow("a@h: b@h; b@h: a@h, b@h;", "a@h")
    assert empty and circle is not None and not circle


def test_there_is_an_end_to_instructions_within_instructions() -> None:
    chain = "".join(f"a{n}@h: a{n + 1}@h;" for n in range(DEEPEST + 1))
    with pytest.raises(Endless):
        follow(chain, "a0@h")
    assert follow(chain, "a9@h") is not None


def test_a_list_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwardsearch, "MOST", 1000)

    def endless(path: bytes) -> Iterator[bytes]:
        number = 0
        while True:
            number += 1
            yield b"&%d@x" % number

    table = dict(forwardtable.records(b"a@h: ./l;"))
    with pytest.raises(Endless):
        orders(b"a@h", b"", table.get, endless)


NAMES = st.sampled_from(["a@h", "b@h", "c@h", "d@x", "@h", "b@", "./one", "./two", "./none"])


@given(st.dictionaries(NAMES, st.tuples(st.lists(NAMES, min_size=1), st.booleans())))
def test_any_table_comes_to_an_end_and_names_nobody_twice(table: dict[str, tuple[list[str], bool]]) -> None:
    text = "".join(f"{name}: {'?o@o,' * owned} {', '.join(to)};" for name, (to, owned) in table.items())
    found = follow(text, "b@h")
    assert found is None or len(set(found.recipients)) == len(found.recipients)
