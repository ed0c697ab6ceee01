"""formats.address: where the @ is, and when a local part is quoted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.formats import address


@pytest.mark.parametrize(
    ("whole", "local", "domain"),
    [
        (b"a@b.example", b"a", b"b.example"),
        (b"a@b@c", b"a@b", b"c"),
        (b"postmaster", b"postmaster", None),
        (b"", b"", None),
        (b"a@", b"a", b""),
        (b"@b", b"", b"b"),
    ],
)
def test_the_last_at_divides(whole: bytes, local: bytes, domain: bytes | None) -> None:
    assert address.split(whole) == (local, domain)


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        (b"", b""),
        (b"a.b@c", b"a.b@c"),
        (b"a b@c", b'"a b"@c'),
        (b'a"b@c', b'"a\\"b"@c'),
        (b"a\\b@c", b'"a\\\\b"@c'),
        (b"a\rb\n@c", b'"a\\\rb\\\n"@c'),
        (b"a..b@c", b'"a..b"@c'),
        (b".a@c", b'".a"@c'),
        (b"a.@c", b'"a."@c'),
        (b"@c", b'""@c'),
        (b"a@b@c", b'"a@b"@c'),
        (b"\xe9@c", b'"\xe9"@c'),
        (b"root", b"root"),
        (b"two words", b'"two words"'),
        (b"a(b)@c", b'"a(b)"@c'),
    ],
)
def test_a_local_part_is_quoted_where_it_must_be(plain: bytes, written: bytes) -> None:
    assert address.quote(plain) == written


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_quoting_loses_nothing(local: bytes) -> None:
    written = address.quote_local(local)
    if written.startswith(b'"'):
        back, escaped = bytearray(), False
        for byte in written[1:-1]:
            if escaped or byte != ord("\\"):
                back.append(byte)
                escaped = False
            else:
                escaped = True
        assert bytes(back) == local
    else:
        assert written == local
