"""What a client of maildirserial reports: NAME, NUL, K (taken), Z (not now) or D (never), words, LF."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_WORDS = 2000  # bytes
LONGEST = 65_536  # bytes of a report
LETTERS = (b"K", b"Z", b"D")


class Broken(ValueError):
    """This is no report, or one without an end."""


def report(name: bytes, letter: bytes, words: bytes, partner: bytes | None) -> bytes:
    """One report. `partner`: who said the words."""
    said = words if partner is None else partner + b" said: " + words
    return name + b"\0" + letter + bytes(byte if 32 <= byte < 127 else 63 for byte in said[:MOST_WORDS]) + b"\n"


class Reports:
    """Reports out of a stream, as (name, letter, words)."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
        """The reports that these bytes complete. Raises Broken."""
        self._rest += data
        while True:
            name, nul, rest = self._rest.partition(b"\0")
            words, end, rest = rest.partition(b"\n")
            if not (nul and end):
                break
            if words[:1] not in LETTERS:
                raise Broken("neither K nor Z nor D")
            self._rest = rest
            yield name, words[:1], words[1:]
        if len(self._rest) > LONGEST:
            raise Broken("a report without an end")
