"""The words of a structured header field (RFC 5322 3.2, qmail-header(5)): read, and written again.

A token is (kind, text). The text of ATOM, QUOTED, LITERAL and COMMENT is what stands inside, without
the marks around it, without backslashes, and a comment's without the parentheses of comments inside
it. The kind of a special is its own byte: `,`, `:`, `;`, `<`, `>`, `@`, `.`.

No regular expressions: their module costs more than a whole qmail-inject.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Token = tuple[int, bytes]

ATOM, QUOTED, LITERAL, COMMENT = 1, 2, 3, 4
COMMA, COLON, SEMICOLON, LESS, GREATER, AT, DOT = b",:;<>@."
MOST = 500_000  # tokens of one field
WIDTH = 78  # columns; a line is folded behind a comma before it grows longer

_SPECIAL = {byte: (byte, bytes([byte])) for byte in b",:;<>@."}
_BLANK = frozenset(b" \t\r\n")
_BACKSLASH = ord("\\")
_MARKS = {QUOTED: (b'"', b'"'), LITERAL: (b"[", b"]"), COMMENT: (b"(", b")")}
_ESCAPED = b'\\"[]()\r\n'


def _stops(stops: bytes) -> bytes:
    """A translation table that leaves NUL where one of these bytes stands, so that `find` can jump to it."""
    return bytes(0 if byte in stops else 1 for byte in range(256))


_OUTSIDE = _stops(b' \t\r\n([",:;<>@.\\')
_INSIDE = {ord("("): _stops(b"()\\"), ord('"'): _stops(b'"\\'), ord("["): _stops(b"]\\")}
_OPENED = {ord("("): COMMENT, ord('"'): QUOTED, ord("["): LITERAL}
# A word that holds anything else had backslashes, and is written again between quotes: `a\,b` as `"a,b"`.
_PLAIN = bytes(byte for byte in range(33, 127) if byte not in b")]\\,:;<>@.")


class Malformed(ValueError):
    """Something was opened and not closed, or closed and not opened."""


class TooMany(ValueError):
    """A field of more than MOST tokens."""


def tokens(text: bytes) -> list[Token]:
    """The tokens of a field's contents. Raises Malformed or TooMany."""
    stops = text.translate(_OUTSIDE)
    inside: dict[int, bytes] = {}
    found: list[Token] = []
    at, end = 0, len(text)
    while at < end:
        byte = text[at]
        if byte in _BLANK:
            at += 1
            continue
        if byte in _SPECIAL:
            found.append(_SPECIAL[byte])
            at += 1
        elif byte in _OPENED:
            if byte not in inside:
                inside[byte] = text.translate(_INSIDE[byte])
            content, at = _closed(text, inside[byte], at)
            found.append((_OPENED[byte], content))
        elif byte in b")]":
            raise Malformed("closed and never opened")
        else:
            word, at = _word(text, stops, at)
            if word:
                found.append((QUOTED if word.translate(None, _PLAIN) else ATOM, word))
        if len(found) > MOST:
            raise TooMany(f"more than {MOST} words in one field")
    return found


def _word(text: bytes, stops: bytes, at: int) -> tuple[bytes, int]:
    """The atom that begins at `at`, and where it ends."""
    stop = stops.find(b"\0", at)
    if stop < 0:
        return text[at:], len(text)
    if text[stop] != _BACKSLASH:
        return text[at:stop], stop
    word = bytearray()  # not a list of pieces: joining them takes 80 bytes a piece
    while True:
        word += text[at:stop]
        at = stop
        if at == len(text) or text[at] != _BACKSLASH:
            return bytes(word), at
        # A backslash before the end of a line takes nothing with it: a line break inside a word would,
        # written again, let the rest of the field begin a line of its own.
        taken = 0 if text[at + 1 : at + 2] in (b"", b"\r", b"\n") else 1
        word += text[at + 1 : at + 1 + taken]
        at += 1 + taken
        stop = stops.find(b"\0", at)
        if stop < 0:
            stop = len(text)


def _closed(text: bytes, stops: bytes, at: int) -> tuple[bytes, int]:
    """What stands inside the mark at `at`, and where what follows begins."""
    nesting = text[at] == ord("(")
    closing = b'"])'[b'"[('.index(text[at])]
    content, depth, at = bytearray(), 1, at + 1
    while True:
        stop = stops.find(b"\0", at)
        if stop < 0:
            raise Malformed("opened and never closed")
        content += text[at:stop]
        at = stop + 1
        if text[stop] == _BACKSLASH:
            if at == len(text):
                raise Malformed("nothing behind a backslash")
            content += text[at : at + 1]
            at += 1
        elif text[stop] == closing:
            depth -= 1
            if not depth:
                return bytes(content), at
        elif nesting:
            depth += 1


def written(words: Sequence[Token], width: int = WIDTH, column: int = 0) -> bytes:
    """The tokens as text again, folded behind commas where a line would grow longer than `width`.

    `column`: where the first line begins. Behind a colon, a comma and between words stands one blank.
    """
    parts: list[bytes] = []  # each ends in a comma, but perhaps the last
    part: list[bytes] = []
    before = 0
    for kind, text in words:
        if before and _apart(before, kind):
            part.append(b" ")
        before = kind
        if kind not in _MARKS and kind != ATOM:
            part.append(text)
            if kind == COMMA:
                parts.append(b"".join(part))
                part = []
        else:
            if len(text) != len(text.translate(None, _ESCAPED)):
                text = escaped(text)
            opening, closing = _MARKS.get(kind, (b"", b""))
            part.append(opening + text + closing)
    parts.append(b"".join(part))
    return _folded(parts, width, column)


def escaped(text: bytes) -> bytes:
    """The text with a backslash before each byte that would open, close or end something."""
    for byte in _ESCAPED:
        text = text.replace(b"%c" % byte, b"\\%c" % byte)
    return text


def spoken(words: Sequence[Token]) -> bytes:
    """An address as envelopes have it: no quotes, no backslashes, no comments, no blanks between the tokens."""
    return b"".join([b"[%b]" % text if kind == LITERAL else text for kind, text in words if kind != COMMENT])


def _apart(before: int, kind: int) -> bool:
    if before in (COLON, COMMA) or kind == LESS:
        return True
    return before <= COMMENT and kind <= COMMENT


def _folded(parts: list[bytes], width: int, column: int) -> bytes:
    lines, size = [parts[0]], column + len(parts[0])
    for part in parts[1:]:
        if not part:
            continue
        if size + len(part) > width:
            lines.append(b"\n " + part)
            size = 1 + len(part)
        else:
            lines.append(part)
            size += len(part)
    return b"".join(lines)
