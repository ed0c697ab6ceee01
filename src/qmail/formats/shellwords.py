"""The words of a run file, as far as they can be read without running it.

Quotes are taken off, a command substitution is one word as it stands, a backslash joins lines, comments
go. Enough to see which programs a script starts and what it tells them; nothing is expanded.
"""

from __future__ import annotations

QUOTES = b"'\"`"
BLANKS = b" \t\r"
ENDS = b"\n;|&<>()"


def commands(text: bytes) -> list[list[bytes]]:
    """The commands of a shell script, each a list of words; a redirection ends one."""
    text = text.replace(b"\\\n", b" ")
    found: list[list[bytes]] = [[]]
    word: bytes | None = None
    at = 0
    while at < len(text):
        char = text[at : at + 1]
        if char in QUOTES or text.startswith(b"$(", at):
            piece, at = _enclosed(text, at)
            word = (word or b"") + piece
            continue
        if char == b"#" and word is None:
            end = text.find(b"\n", at)
            at = len(text) if end < 0 else end
            continue
        at += 1
        if char not in BLANKS and char not in ENDS:
            word = (word or b"") + char
            continue
        if word is not None:
            found[-1].append(word)
            word = None
        if char in ENDS and found[-1]:
            found.append([])
    if word is not None:
        found[-1].append(word)
    return [words for words in found if words]


def arguments(text: bytes, program: bytes) -> list[list[bytes]]:
    """What each call of `program`, with or without a path, has behind its name in its command."""
    return [
        words[place + 1 :]
        for words in commands(text)
        for place, word in enumerate(words)
        if word.rpartition(b"/")[2] == program
    ]


def _enclosed(text: bytes, at: int) -> tuple[bytes, int]:
    """What stands in the quotes, backquotes or $( ) at this place, and the place behind it."""
    if text.startswith(b"$(", at):
        end = text.find(b")", at)
        end = len(text) if end < 0 else end + 1
        return text[at:end], end
    quote = text[at : at + 1]
    end = text.find(quote, at + 1)
    end = len(text) if end < 0 else end
    inside = text[at + 1 : end]
    return (quote + inside + quote if quote == b"`" else inside), end + 1
