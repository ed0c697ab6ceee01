"""Content types (RFC 2045 5.1): `text/plain; charset=utf-8` as a type and its parameters."""

from __future__ import annotations

from qmail.formats.header_tokens import (
    AT,
    COLON,
    COMMA,
    COMMENT,
    DOT,
    GREATER,
    LESS,
    SEMICOLON,
    Malformed,
    TooMany,
    tokens,
)

LONGEST = 8192  # bytes of a field that is looked at

_SPECIALS = (COMMA, COLON, LESS, GREATER, AT, DOT)


class ContentType:
    """`name`: type and subtype in small letters, such as `text/plain`; `parameters` by their names in small letters."""

    __slots__ = ("name", "parameters")

    def __init__(self, name: bytes, parameters: dict[bytes, bytes]) -> None:
        self.name, self.parameters = name, parameters

    @property
    def boundary(self) -> bytes | None:
        """What divides the parts of a multipart message; None where this is none, or names none."""
        return (self.parameters.get(b"boundary") or None) if self.name.startswith(b"multipart/") else None


PLAIN = ContentType(b"text/plain", {})


def content_type(contents: bytes) -> ContentType:
    """From the contents of a Content-Type field; what cannot be read is text/plain."""
    try:
        words = tokens(contents[:LONGEST])
    except (Malformed, TooMany):
        # Quotes may be broken behind what matters here.
        return ContentType(contents.partition(b";")[0].strip().lower(), {})
    parts: list[bytes] = [b""]
    for kind, text in words:
        if kind == SEMICOLON:
            parts.append(b"")
        elif kind != COMMENT:
            parts[-1] += text
    named = (part.partition(b"=") for part in parts[1:])
    return ContentType(
        parts[0].lower(), {name.lower(): value for name, equals, value in reversed(list(named)) if equals}
    )
