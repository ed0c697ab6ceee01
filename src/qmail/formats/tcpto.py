"""The table of hosts that lately timed out (queue/lock/tcpto).

64 records of 16 bytes for IPv4: address (4 bytes), number of recent timeouts (1), 3 unused, time of
the last one (4, little-endian seconds since 1970), 4 unused. This part is that of the C programs,
which look no further. Behind it 64 records of 32 bytes for IPv6: address (16), number (1), 7
unused, time (8).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDS = 64
OLD_SIZE = RECORDS * 16
SIZE = OLD_SIZE + RECORDS * 32
MOST = 10  # timeouts are not counted further
APART = 120  # seconds; timeouts closer to each other count once
SHUNNED = 2  # from so many timeouts on a host is left alone for a while


class Record:
    """What is known of one address (packed, 4 or 16 bytes)."""

    __slots__ = ("address", "offset", "timeouts", "when")

    def __init__(self, address: bytes, timeouts: int, when: int, offset: int) -> None:
        self.address, self.timeouts, self.when, self.offset = address, timeouts, when, offset

    def packed(self) -> bytes:
        """The record as it stands in the file."""
        if len(self.address) == 4:
            return self.address + bytes((self.timeouts, 0, 0, 0)) + _seconds(self.when, 4) + bytes(4)
        return self.address + bytes((self.timeouts,)) + bytes(7) + _seconds(self.when, 8)


def records(table: bytes) -> Iterator[Record]:
    """The records in use; a file of any length is read as far as whole records go."""
    return (record for size in (4, 16) for record in _slots(table, size) if record.timeouts)


def is_shunned(table: bytes, address: bytes, now: int, patience: int) -> bool:
    """Has this address timed out twice, the last time less than `patience` seconds ago?

    A time to come is that of a clock which has been set back since, and says nothing.
    """
    record = _find(table, address)
    return record is not None and record.timeouts >= SHUNNED and 0 <= now - record.when < patience


def connected(table: bytes, address: bytes) -> Record | None:
    """The record to write after this address answered, or None where nothing changes."""
    record = _find(table, address)
    if record is None or not record.timeouts:
        return None
    return Record(address, 0, record.when, record.offset)


def timed_out(table: bytes, address: bytes, now: int) -> Record | None:
    """The record to write after this address timed out, or None where nothing changes."""
    record = _find(table, address)
    if record is None:
        slots = list(_slots(table, len(address)))
        free = [slot for slot in slots if not slot.timeouts]
        # The one that would be forgotten first: each timeout is worth 1,024 seconds.
        slot = free[0] if free else min(slots, key=lambda slot: slot.when + (slot.timeouts << 10), default=None)
        return None if slot is None else Record(address, 1, now, slot.offset)
    if record.timeouts and 0 <= now - record.when < APART:
        return None
    return Record(address, min(record.timeouts + 1, MOST), now, record.offset)


def _find(table: bytes, address: bytes) -> Record | None:
    return next((record for record in _slots(table, len(address)) if record.address == address), None)


def _slots(table: bytes, size: int) -> Iterator[Record]:
    if size == 4:
        for at in range(0, min(len(table), OLD_SIZE) - 15, 16):
            when = int.from_bytes(table[at + 8 : at + 12], "little")
            yield Record(table[at : at + 4], table[at + 4], when, at)
    else:
        # Records that were never written are free ones, since the C programs' file ends before them.
        table = table[:SIZE].ljust(SIZE, b"\0")
        for at in range(OLD_SIZE, SIZE, 32):
            when = int.from_bytes(table[at + 24 : at + 32], "little")
            yield Record(table[at : at + 16], table[at + 16], when, at)


def _seconds(when: int, size: int) -> bytes:
    return (when & ((1 << 8 * size) - 1)).to_bytes(size, "little")
