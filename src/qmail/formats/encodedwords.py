"""Encoded words in header fields (RFC 2047), read as UTF-8, for texts that are shown or compared."""

from __future__ import annotations

import binascii

LONGEST = 1000  # bytes of one encoded word
# Character sets that may be decoded; a word in any other stays as it is.
_KNOWN = (
    b"utf-8",
    b"us-ascii",
    b"iso-8859-",
    b"windows-125",
    b"koi8-",
    b"iso-2022-jp",
    b"euc-",
    b"gb",
    b"big5",
    b"shift",
)


def decoded(text: bytes) -> bytes:
    """The text with its encoded words as UTF-8. What cannot be decoded stays."""
    pieces: list[bytes] = []
    at, after_word = 0, False
    while (start := text.find(b"=?", at)) >= 0:
        found = _word(text, start)
        if found is None:
            pieces.append(text[at : start + 2])
            at, after_word = start + 2, False
            continue
        word, end = found
        between = text[at:start]
        # Blanks between two encoded words are not part of the text.
        if not (after_word and not between.strip(b" \t\r\n")):
            pieces.append(between)
        pieces.append(word)
        at, after_word = end, True
    pieces.append(text[at:])
    return b"".join(pieces)


def _word(text: bytes, start: int) -> tuple[bytes, int] | None:
    parts = text[start : start + LONGEST].split(b"?", 4)
    if len(parts) < 5 or not parts[4].startswith(b"=") or b" " in b"".join(parts[1:4]):
        return None
    _, charset, encoding, data, _ = parts
    end = start + len(b"?".join(parts[:4])) + 2
    name = charset.partition(b"*")[0].lower()
    if not name.startswith(_KNOWN):
        return None
    try:
        if encoding in (b"B", b"b"):
            plain = binascii.a2b_base64(data + b"=" * (-len(data) % 4))
        elif encoding in (b"Q", b"q"):
            plain = binascii.a2b_qp(data, header=True)
        else:
            return None
        return plain.decode(name.decode(), "replace").encode(), end
    except (ValueError, LookupError):
        return None


def encoded(text: bytes) -> bytes:
    """UTF-8 as encoded words, each on a line of its own; what is plain ASCII stays."""
    if text.isascii():
        return text
    words = text.decode("utf-8", "replace")
    parts = [words[at : at + 10].encode() for at in range(0, len(words), 10)]
    return b"\n ".join(b"=?utf-8?B?%b?=" % binascii.b2a_base64(part, newline=False) for part in parts)
