"""Host names are rewritten by rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import qualify


@pytest.mark.parametrize(
    ("name", "rules", "tried"),
    [
        (b"h", [], [b"h"]),
        (b"h", qualify.search([b"a.org", b"b.org"]), [b"h.a.org", b"h.b.org"]),
        (b"h.x", qualify.search([b"a.org"]), [b"h.x"]),
        (b"h.x.", qualify.search([b"a.org"]), [b"h.x"]),
        (b"h", qualify.search([]), [b"h"]),
        (b"me", [b"=me:127.0.0.1"], [b"127.0.0.1"]),
        (b"not.me", [b"=me:127.0.0.1"], [b"not.me"]),
        (b"x.LOCAL", [b"*.local:.af.mil"], [b"x.af.mil"]),
        (b"x.local", [b"-.local:me"], [b"me"]),
        (b"[1", [b"?:.a.org"], [b"[1"]),
        (b"h", [b"# comment", b"", b"?no colon", b"?:.a"], [b"h.a"]),
    ],
)
def test_a_name_becomes_those_to_be_tried(name: bytes, rules: list[bytes], tried: list[bytes]) -> None:
    assert qualify.candidates(name, rules) == tried


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        (b"1.2.3.4", [b"1.2.3.4"]),
        (b"[1.2.3.4]", [b"1.2.3.4"]),
        (b"1.2.3.4.5.6.7.8", [b"1.2.3.4", b"5.6.7.8"]),
        (b"1.2.3", []),
        (b"1.2.3.256", []),
        (b"", []),
        (b"1.2.3.4x", None),
    ],
)
def test_a_name_of_digits_is_its_own_address(name: bytes, addresses: list[bytes] | None) -> None:
    assert qualify.literal(name) == addresses


@given(st.binary(max_size=40), st.lists(st.binary(max_size=12), max_size=5))
def test_any_name_and_rules_give_few_names(name: bytes, rules: list[bytes]) -> None:
    assert 1 <= len(qualify.candidates(name, rules)) <= qualify.MOST
    qualify.literal(name)
