"""The envelope that qmail-queue reads (envelopes(5), qmail-queue(8)).

    F<sender> NUL T<recipient> NUL T<recipient> NUL ... NUL

What follows the last NUL is not looked at, unless it is what formats.besides puts there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_ADDRESS = 1002  # bytes
MOST_BYTES = 64 * 1024 * 1024  # of one envelope
MOST_RECIPIENTS = 1_000_000
AT_ONCE = 2000  # recipients in a piece

# What may be wrong with an envelope, as qmail-queue's exit codes.
TOO_LONG, TOO_MANY, UNFINISHED, MALFORMED = 11, 31, 54, 91


def envelope(sender: bytes, recipients: Iterable[bytes], behind: bytes = b"") -> bytes:
    """The envelope of one message. `behind`: what follows its last NUL."""
    return b"F%b\0" % sender + b"".join([b"T%b\0" % recipient for recipient in recipients]) + b"\0" + behind


def pieces(sender: bytes, recipients: Iterable[bytes], behind: bytes = b"") -> Iterator[bytes]:
    """The same in pieces, for any number of recipients: no more than a few thousand are held at once."""
    held, waiting = [b"F%b\0" % sender], 0
    for recipient in recipients:
        held.append(b"T%b\0" % recipient)
        waiting += 1
        if waiting == AT_ONCE:
            yield b"".join(held)
            held, waiting = [], 0
    held.append(b"\0" + behind)  # in one piece: whoever has read the NUL finds the rest
    yield b"".join(held)


class Check:
    """Reads an envelope in pieces of any size and keeps at most one unfinished record.

    `whole`: the end was seen and everything before it was good; `behind` is what followed it in the last piece. `code`:
    0, or TOO_LONG, TOO_MANY or MALFORMED; the first fault counts. Before either is set, the envelope is UNFINISHED.
    """

    __slots__ = ("_rest", "_seen", "_size", "behind", "code", "whole")

    def __init__(self) -> None:
        self._rest = b""
        self.behind = b""
        self._seen = 0  # records
        self._size = 0  # bytes
        self.code = 0
        self.whole = False

    def feed(self, data: bytes) -> bytes:
        """Read on, and return the records that became whole, each with its NUL, without the envelope's last NUL."""
        if self.code or self.whole:
            self.behind = data
            return b""
        text = self._rest + data
        records = text.split(b"\0")
        unfinished = records.pop()
        taken = 0
        for record in records:
            if not record:
                self.whole = self._seen > 0
                self.code = 0 if self.whole else MALFORMED
                self.behind = text[taken + 1 :]
                break
            if self._faulty(record):
                break
            taken += len(record) + 1
            self._seen += 1
        else:
            self._rest = unfinished
            if unfinished:
                self._faulty(unfinished)
        self._size += taken
        if not self.code and (self._size > MOST_BYTES or self._seen > 1 + MOST_RECIPIENTS):
            self.code, self.whole = TOO_MANY, False
        return text[:taken]

    def _faulty(self, record: bytes) -> bool:
        if record[0] != (0x54 if self._seen else 0x46):  # T, F
            self.code = MALFORMED
        elif len(record) > LONGEST_ADDRESS + 1:
            self.code = TOO_LONG
        return self.code != 0
