"""qmail-send's orders to the spawners, and their reports (qmail-lspawn(8), qmail-rspawn(8)).

The narrow dialect is that of the C programs: the spawner begins with one byte, the highest number of
deliveries it takes (1 to 255).

    order:   delivery number (1 byte), message file below queue/mess/ NUL, sender NUL, recipient NUL
    report:  delivery number (1 byte), text NUL

The wide dialect is announced by a first byte 0, then the limit as 2 bytes (big-endian). Our spawners
announce it where the environment has QMAILSPAWN=wide, which qmail-start sets.

    order:   length (4 bytes) of what follows; delivery number (2 bytes), then the three strings as above
    report:  length (4 bytes) of what follows; delivery number (2 bytes), text

In the wide dialect a fourth string may follow, `asked`: what concerns the recipient of the parameters that the sender
gave (formats.mailparameters); and behind the text of a report that begins with K, NUL and PASSED_ON
(formats.deliverystatus), where the next host has taken them. The narrow one has no words for either.

A report begins with K (delivered), Z (try again) or D (failed for good); anything else counts as Z.
"""

from __future__ import annotations

WIDE_VARIABLE = b"QMAILSPAWN"
WIDE_VALUE = b"wide"
LONGEST = 4 * 1024 * 1024  # bytes of one order or report


class Broken(ValueError):
    """The other side does not speak this protocol."""


class Order:
    """One delivery to make. `message` is the file below queue/mess/, such as `6/1000000`; `asked`: see above."""

    __slots__ = ("asked", "message", "number", "recipient", "sender")

    def __init__(self, number: int, message: bytes, sender: bytes, recipient: bytes, asked: bytes = b"") -> None:
        self.number, self.message, self.sender, self.recipient = number, message, sender, recipient
        self.asked = asked


def announcement(limit: int, wide: bool) -> bytes:
    """What a spawner says first."""
    return b"\0" + limit.to_bytes(2, "big") if wide else bytes([min(limit, 255)])


def order(value: Order, wide: bool) -> bytes:
    """One order, for the spawner's descriptor 0."""
    strings = b"%b\0%b\0%b\0" % (value.message, value.sender, value.recipient)
    if not wide:
        return bytes([value.number]) + strings
    if value.asked:
        strings += value.asked + b"\0"
    return (len(strings) + 2).to_bytes(4, "big") + value.number.to_bytes(2, "big") + strings


def report(number: int, text: bytes, wide: bool) -> bytes:
    """One report, for the spawner's descriptor 1."""
    if not wide:
        return bytes([number]) + text.replace(b"\0", b"") + b"\0"
    return (len(text) + 2).to_bytes(4, "big") + number.to_bytes(2, "big") + text


class Orders:
    """The spawner's reader: feed bytes, take orders."""

    def __init__(self, wide: bool) -> None:
        self._wide, self._buffer = wide, bytearray()

    def feed(self, data: bytes) -> list[Order]:
        """The orders completed by these bytes. Raises Broken."""
        self._buffer += data
        taken = []
        while (one := self._wide_order() if self._wide else self._narrow_order()) is not None:
            taken.append(one)
        return taken

    def _narrow_order(self) -> Order | None:
        ends, at = [], 1
        for _ in range(3):
            at = self._buffer.find(b"\0", at) + 1
            if not at:
                if len(self._buffer) > LONGEST:
                    raise Broken("an order of more than 4 MiB")
                return None
            ends.append(at)
        text = bytes(self._buffer[: ends[2]])
        del self._buffer[: ends[2]]
        return Order(text[0], text[1 : ends[0] - 1], text[ends[0] : ends[1] - 1], text[ends[1] : -1])

    def _wide_order(self) -> Order | None:
        body = _wide_piece(self._buffer)
        if body is None:
            return None
        strings = body[2:].split(b"\0")
        if len(strings) not in (4, 5) or strings[-1]:
            raise Broken("an order that is none")
        return Order(int.from_bytes(body[:2], "big"), *strings[:-1])


class Reports:
    """qmail-send's reader: first the announcement, then reports as (delivery number, text)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.limit: int | None = None  # None until the spawner has announced itself
        self.wide = False

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The reports completed by these bytes. Raises Broken."""
        self._buffer += data
        if self.limit is None and not self._announced():
            return []
        taken = []
        while (one := self._next()) is not None:
            taken.append(one)
        return taken

    def _announced(self) -> bool:
        size = 3 if self._buffer[:1] == b"\0" else 1
        if len(self._buffer) < size:
            return False
        self.wide = size == 3
        self.limit = int.from_bytes(self._buffer[1:3], "big") if self.wide else self._buffer[0]
        del self._buffer[:size]
        return True

    def _next(self) -> tuple[int, bytes] | None:
        if self.wide:
            body = _wide_piece(self._buffer)
            return None if body is None else (int.from_bytes(body[:2], "big"), body[2:])
        end = self._buffer.find(b"\0", 1)
        if end < 0:
            if len(self._buffer) > LONGEST:
                raise Broken("a report of more than 4 MiB")
            return None
        number, text = self._buffer[0], bytes(self._buffer[1:end])
        del self._buffer[: end + 1]
        return number, text


def _wide_piece(buffer: bytearray) -> bytes | None:
    if len(buffer) < 4:
        return None
    size = int.from_bytes(buffer[:4], "big")
    if not 2 <= size <= LONGEST:
        raise Broken("a length that cannot be")
    if len(buffer) < 4 + size:
        return None
    body = bytes(buffer[4 : 4 + size])
    del buffer[: 4 + size]
    return body
