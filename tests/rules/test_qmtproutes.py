"""rules.qmtproutes: which mail goes by QMTP, and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules import hosttable
from qmail.rules.qmtproutes import route

ROUTES = hosttable.table(
    [
        b"a.example:mx.a.example", b"B.example:[192.0.2.1]:6209", b".c.example:[IPv6:2001:db8::1]:2000 tls",
        b"d.example:host:2000", b"e.c.example:", b"f.example:host TLS",
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (b"A.example", (b"mx.a.example", 209, False)),
        (b"b.example", (b"[192.0.2.1]", 6209, True)),
        (b"x.c.example", (b"[IPv6:2001:db8::1]", 2000, True)),
        (b"d.example", (b"host", 2000, False)),
        (b"f.example", (b"host", 209, True)),
        (b"e.c.example", None),
        (b"c.example", None),
        (b"elsewhere.example", None),
    ],
)
def test_a_line_says_host_port_and_whether_there_is_tls(host: bytes, found: tuple[bytes, int, bool] | None) -> None:
    way = route(ROUTES, host)
    assert (way and (way.host, way.port, way.tls)) == found
    assert way is None or (way.qmtp and way.relay)


@given(st.lists(st.binary(max_size=30), max_size=4), st.binary(max_size=20))
def test_any_line_is_a_route_or_none(lines: list[bytes], host: bytes) -> None:
    way = route(hosttable.table(lines), host)
    assert way is None or (way.qmtp and way.host is not None)
