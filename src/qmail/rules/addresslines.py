"""Lines of addresses as .forward, /etc/aliases and :include: files have them.

They are read as address lists in header fields are, but that there are no groups: a colon or a semicolon
divides addresses as a comma does. `:include:` in front of a word becomes a part of it.
"""

from __future__ import annotations

from qmail.formats.header_tokens import (
    AT,
    ATOM,
    COLON,
    COMMA,
    GREATER,
    LESS,
    QUOTED,
    SEMICOLON,
    Malformed,
    TooMany,
    spoken,
    tokens,
)
from qmail.rules.rewriting import Unparsable, rewrite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.formats.header_tokens import Token

INCLUDE = b":include:"


def addresses(line: bytes) -> list[Sequence[Token]]:
    """The addresses of a line, in order; one that has INCLUDE in front is a file. Raises Unparsable."""
    found: list[Sequence[Token]] = []

    def seen(address: Sequence[Token]) -> list[Token]:
        if any(kind == LESS for kind, _ in address):
            raise Malformed("< without >")
        found.append(tuple(address))
        return []

    try:
        rewrite(_without_groups(tokens(line)), seen)
    except (Malformed, TooMany):
        raise Unparsable(line) from None
    return found[::-1]


def is_bare(address: Sequence[Token]) -> bool:
    """Has it no host, so that it may be a command or a file? A quoted @ makes none."""
    return not any(kind == AT for kind, _ in address)


def included(address: Sequence[Token]) -> bytes | None:
    """The file that an address without a host asks to include (perhaps an empty name), or None."""
    text = spoken(address)
    return text[len(INCLUDE) :] if text[: len(INCLUDE)].lower() == INCLUDE and is_bare(address) else None


def _without_groups(words: list[Token]) -> list[Token]:
    plain: list[Token] = []
    inside = False  # <@route:box@host>
    at = 0
    while at < len(words):
        kind, text = words[at]
        inside = kind == LESS or (inside and kind != GREATER)
        if kind == COLON and not inside and _is_include(words[at : at + 3]):
            at += 3
            name = words[at] if at < len(words) and words[at][0] in (ATOM, QUOTED) else None
            plain += [(COMMA, b","), (QUOTED, INCLUDE + (name[1] if name else b""))]
            at += 1 if name else 0
            continue
        plain.append((COMMA, b",") if kind in (COLON, SEMICOLON) and not inside else (kind, text))
        at += 1
    return plain


def _is_include(words: Sequence[Token]) -> bool:
    kinds = [kind for kind, _ in words]
    return kinds == [COLON, ATOM, COLON] and words[1][1].lower() == b"include"
