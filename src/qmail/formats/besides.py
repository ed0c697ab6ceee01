"""What rides behind an envelope's last NUL, where programs that know nothing of it do not look (formats.envelope).

    +parameters NUL record NUL record NUL ... NUL

Records are those of formats.mailparameters.
"""

from __future__ import annotations

from qmail.formats.mailparameters import LARGEST, LONGEST_ADDRESS, LONGEST_ORCPT, Malformed, Parameters, parse, records

MAGIC = b"+parameters\0"
_LONGEST_RECORD = LONGEST_ADDRESS + LONGEST_ORCPT + 100


def extension(parameters: Parameters | None) -> bytes:
    """What stands behind the last NUL of an envelope; nothing where there are none."""
    if not parameters:
        return b""
    return MAGIC + b"".join([record + b"\0" for record in records(parameters)]) + b"\0"


def parse_extension(text: bytes) -> Parameters | None:
    """Read what follows an envelope; None where it is something else. Raises Malformed where it is not whole."""
    reader = Reader()
    found = reader.feed(text)
    reader.end()
    return parse(found) if reader.ours else None


class Reader:
    """Reads what follows an envelope, in pieces of any size, and keeps at most one unfinished record.

    `ours`: it is an extension. `over`: its end was seen, or it is something else.
    """

    __slots__ = ("_rest", "_size", "ours", "over")

    def __init__(self) -> None:
        self._rest = b""
        self._size = 0
        self.ours = self.over = False

    def feed(self, data: bytes) -> list[bytes]:
        """The records that became whole. Raises Malformed."""
        if self.over or not data:
            return []
        text = self._rest + data
        if not self.ours:
            head = text[: len(MAGIC)]
            self.ours, self.over = head == MAGIC, not MAGIC.startswith(head)
            self._rest = text
            if not self.ours:
                return []
            text = text[len(MAGIC) :]
        *found, self._rest = text.split(b"\0")
        if b"" in found:
            self.over = True
            del found[found.index(b"") :]
        self._size += sum(map(len, found)) + len(found)
        if self._size > LARGEST or (not self.over and len(self._rest) > _LONGEST_RECORD):
            raise Malformed("too many parameters")
        parse(found)
        return found

    def end(self) -> None:
        """Nothing more comes. Raises Malformed where it ought to."""
        if self.ours and not self.over:
            raise Malformed("unfinished parameters")
