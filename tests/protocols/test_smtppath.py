"""protocols.smtppath: which address a MAIL or RCPT line means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.protocols.smtppath import LONGEST, parse


@pytest.mark.parametrize(
    ("argument", "address", "parameters"),
    [
        (b"FROM:<a@b.example>", b"a@b.example", []),
        (b"from : <a@b>", b"a@b", []),
        (b"FROM:<>", b"", []),
        (b"", b"", []),
        (b"TO:<postmaster>", b"postmaster", []),
        (b"FROM:a@b", b"a@b", []),
        (b"FROM:   a@b SIZE=3", b"a@b", []),
        (b"FROM:\ta@b", b"\ta@b", []),
        (b"FROM:\t<a@b>", b"a@b", []),
        (b"nothing", b"", []),
        (b"FROM:<a@b", b"a@b", []),
        (b"TO:<c@d SIZE=3", b"c@d SIZE=3", []),
        (b"FROM:<a@b> SIZE=100 BODY=8BITMIME", b"a@b", [b"SIZE=100", b"BODY=8BITMIME"]),
        (b"FROM:<a@b>  ", b"a@b", []),
        (b"FROM:<a@b>SIZE=1", b"a@b", []),
        (b'FROM:"x<y"@b', b"y@b", []),
        pytest.param(b'FROM:<"a b"@c>', b"a b@c", [], id="fault_056"),
        (b'FROM:<"a>b"@c>', b"a>b@c", []),
        pytest.param(b'FROM:<"\\""@x>', b'"@x', [], id="fault_056_quote"),
        pytest.param(b"FROM:<a\\@b@x>", b"a@b@x", [], id="fault_056_backslash"),
        (b"FROM:<a\\", b"a", []),
        (b'FROM:"a b"@c d', b"a b@c", []),
        (b"FROM:<@x:a@b>", b"a@b", []),
        pytest.param(b"FROM:<@x,@y:a@b>", b"a@b", [], id="fault_057"),
        (b"FROM:<@x:@y:a@b>", b"@y:a@b", []),
        (b"FROM:<@x>", b"", []),
        (b"FROM:<@>", b"", []),
        (b"FROM:<a:b@c>", b"a:b@c", []),
        (b"TO:d:e@f", b"d:e@f", []),
        pytest.param(b"TO:<|cmd@x>", b"|cmd@x", [], id="fault_059"),
        pytest.param(b"TO:<() { :;}@x>", b"() { :;}@x", [], id="fault_059_shell"),
        pytest.param(b"TO:<a%b@c>", b"a%b@c", [], id="fault_058"),
        pytest.param(b"TO:<\xff@d>", b"\xff@d", [], id="fault_062"),
    ],
)
def test_an_address_is_found_as_qmail_finds_it(argument: bytes, address: bytes, parameters: list[bytes]) -> None:
    assert parse(argument) == (address, parameters)


def test_fault_061_an_address_of_899_bytes_passes_and_one_of_900_does_not() -> None:
    assert parse(b"TO:<" + b"x" * LONGEST + b">") == (b"x" * LONGEST, [])
    assert parse(b"TO:<" + b"x" * (LONGEST + 1) + b">") is None
    assert parse(b'TO:<"' + b"\\x" * LONGEST + b'">') == (b"x" * LONGEST, [])
    assert parse(b'TO:<"' + b"\\x" * (LONGEST + 1) + b'">') is None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_every_argument_has_an_answer(argument: bytes) -> None:
    found = parse(argument)
    assert found is not None
    address, parameters = found
    assert len(address) <= len(argument)
    assert all(parameters)
