"""formats.domainname: one name however it is written, and no name taken for another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.domainname import ascii, compared, compared_address, downgraded, is_address

BOOKS = b"xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("bücher.example", BOOKS),
        ("BÜCHER.example", BOOKS),
        ("bu\u0308cher.example", BOOKS),  # not composed
        ("Example.ORG", b"Example.ORG"),
        ("_x.Bücher", b"_x.xn--bcher-kva"),
        (".bücher", b".xn--bcher-kva"),
        ("", b""),
        ("straße.example", b"xn--strae-oqa.example"),  # and not strasse, as IDNA2003 had it
        ("例え.テスト", b"xn--r8jz45g.xn--zckzah"),
        pytest.param("ex\u0430mple.org", b"xn--exmple-4nf.org", id="fault_063_cyrillic_a"),
        pytest.param("xn--\u00fc.example", None, id="fault_063_half_an_a_label"),
        pytest.param("xn--a-ecp.example", b"xn--a-ecp.example", id="fault_063_an_a_label_of_nothing"),
        pytest.param("user\u3002example", None, id="fault_063_another_dot"),
        pytest.param("exa\u2024mple.org", None, id="fault_063_one_dot_leader"),
        pytest.param("\uff45xample.org", None, id="fault_063_wide_e"),
        pytest.param("a\u200db.example", None, id="fault_063_joiner"),
        pytest.param("pay\u00adpal.example", None, id="fault_063_soft_hyphen"),
        pytest.param("\u202egro.example", None, id="fault_063_right_to_left"),
        ("ü" * 60 + ".example", None),
        (".".join(["ü"] * 60), None),
    ],
)
def test_a_u_label_becomes_its_a_label_and_nothing_else_does(name: str, wanted: bytes | None) -> None:
    assert ascii(name.encode()) == wanted


@pytest.mark.parametrize("name", [b"\xff.example", b"\xc0\xae.example", b"\xed\xa0\x80.example", b"b\xfccher.example"])
def test_fault_062_bytes_that_are_no_utf_8_are_no_name_and_are_equal_to_themselves_only(name: bytes) -> None:
    assert ascii(name) is None
    assert compared(name) == name
    assert not is_address(b"a@" + name) and not is_address(name + b"@example")


def test_addresses_are_compared_by_their_hosts_and_never_written_anew_before_the_at() -> None:
    assert compared_address("Jürgen@BÜCHER.example".encode()) == "jürgen@".encode() + BOOKS
    assert compared_address("JÜRGEN@x".encode()) == "jÜrgen@x".encode()
    assert compared_address("Bücher".encode()) == "bücher".encode()  # no host
    assert downgraded("Jürgen@Bücher.example".encode()) == "Jürgen@".encode() + BOOKS
    assert downgraded("ü".encode()) == "ü".encode()
    assert is_address("ü".encode()) and is_address("jürgen@bücher.example".encode())


@given(st.binary(max_size=30) | st.text(max_size=12).map(str.encode))
def test_whatever_is_ascii_is_one_name_and_stays_it(name: bytes) -> None:
    found = ascii(name)
    if found is not None:
        assert found.isascii() and ascii(found) == found
        assert compared(name) == compared(found)
