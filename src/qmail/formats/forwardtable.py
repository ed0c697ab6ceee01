"""Forwarding tables (setforward(1)): instructions as text, and the records of the database they become.

A record's key is `:` and a target in lower case, its data the target's commands, a NUL behind each. The
key `?` and a target has the target's owner address. A command is `&` and a recipient, `|` or `!` and a
program, or the name of a binary mailing list, which begins with `/` or `.`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Record = tuple[bytes, bytes]

TARGET, OWNER = b":", b"?"
RECIPIENT, PROGRAM, PROGRAM_WITH_LINES = b"&", b"|", b"!"
LIST = (b"/", b".")
LONGEST = 800  # bytes of a recipient address

_SPECIAL = b" \t\n,;:#\\"
_STOPS = bytes(0 if byte in _SPECIAL else 1 for byte in range(256))


class Malformed(ValueError):
    """Not a table of instructions, or not the records of one; in words for a person."""


def records(text: bytes) -> Iterator[Record]:
    """The records of a table of instructions. Raises Malformed."""
    if b"\0" in text:
        raise Malformed("NUL bytes are not permitted")
    target: bytes | None = None
    commands: list[bytes] = []
    for word, mark in _words(text):
        if mark == b":":
            if target is not None:
                raise Malformed("double colons are not permitted")
            target, commands = word.lower(), []
            continue
        if target is None:
            if not mark and not word:
                return
            raise Malformed(_BEFORE_COLON[mark])
        if word.startswith(b"?"):
            yield OWNER + target, word[1:]
        elif word:
            commands.append(command(word))
        if not mark:
            raise Malformed("final instruction must end with semicolon")
        if mark == b";":
            if commands:
                yield record(target, commands)
            target = None


_BEFORE_COLON = {
    b",": "commas are not permitted before colons",
    b";": "semicolons are not permitted before colons",
    b"": "final instruction must end with semicolon",
}


def command(word: bytes) -> bytes:
    """A command as the database has it: a word that is nothing else is a recipient. Raises Malformed."""
    if not word.startswith((RECIPIENT, PROGRAM, PROGRAM_WITH_LINES, *LIST)):
        word = RECIPIENT + word
    if word.startswith(RECIPIENT) and len(word) > 1 + LONGEST:
        raise Malformed(f"addresses over {LONGEST} bytes are not permitted")
    return word


def record(target: bytes, commands: list[bytes]) -> Record:
    """The record of one target."""
    return TARGET + target, b"".join(each + b"\0" for each in commands)


def commands_in(data: bytes) -> list[bytes]:
    """The commands of a target's record. Raises Malformed."""
    if not data.endswith(b"\0"):
        raise Malformed("bad database format")
    return data[:-1].split(b"\0")


def shown(key: bytes, data: bytes) -> bytes:
    """A record as an instruction that `records` understands. Raises Malformed."""
    target = _escaped(key[1:])
    if key.startswith(OWNER):
        return target + b": ?" + _escaped(data) + b";\n"
    if not key.startswith(TARGET):
        raise Malformed("bad database format")
    return target + b":\n" + b"".join(b", " + _escaped(each) + b"\n" for each in commands_in(data)) + b";\n"


def _escaped(word: bytes) -> bytes:
    if not word.translate(_STOPS).count(b"\0"):
        return word
    return b"".join(b"\\%c" % byte if byte in _SPECIAL else b"%c" % byte for byte in word)


def _words(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    # Each word with the mark that ended it, `:`, `,` or `;`; the last one with none.
    stops = text.translate(_STOPS)
    pieces: list[bytes] = []
    at = 0
    while (stop := stops.find(b"\0", at)) >= 0:
        pieces.append(text[at:stop])
        mark = text[stop : stop + 1]
        at = stop + 1
        if mark == b"\\":
            pieces.append(text[at : at + 1])
            at += 1
        elif mark == b"#":
            end = text.find(b"\n", at)
            at = len(text) if end < 0 else end
        elif mark in b":,;":
            yield b"".join(pieces), mark
            pieces = []
    yield b"".join(pieces) + text[at:], b""
