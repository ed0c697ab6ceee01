"""Content types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.mimetype import content_type


@pytest.mark.parametrize(
    ("contents", "name", "boundary"),
    [
        (b" text/plain; charset=utf-8", b"text/plain", None),
        (b' Multipart/Mixed;\n\tboundary="a b=c"', b"multipart/mixed", b"a b=c"),
        (b" multipart/mixed; boundary=x.y:z (why)", b"multipart/mixed", b"x.y:z"),
        (b" (a) multipart/mixed (b); (c) BOUNDARY (d) = (e) x", b"multipart/mixed", b"x"),
        (b" multipart/mixed; boundary=one; boundary=two", b"multipart/mixed", b"one"),
        (b" multipart/mixed; boundary=", b"multipart/mixed", None),
        (b' multipart/mixed; boundary="open', b"multipart/mixed", None),
        (b" text/html; boundary=x", b"text/html", None),
        (b"", b"", None),
    ],
)
def test_types_are_read(contents: bytes, name: bytes, boundary: bytes | None) -> None:
    found = content_type(contents)
    assert (found.name, found.boundary) == (name, boundary)


@given(st.binary(max_size=80))
def test_whatever_comes_is_some_type(contents: bytes) -> None:
    content_type(contents)
