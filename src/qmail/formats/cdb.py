"""Constant databases: look up in a byte buffer, lay out a new one.

256 pointers (table position, slots: two 32-bit little-endian numbers each), then the records (key
length, data length, key, data), then the hash tables (hash, record position).
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Buffer = bytes | memoryview

_PAIR = Struct("<II")
HEADER = 2048
LARGEST = 0xFFFFFFFF


class Corrupt(ValueError):
    """Not a constant database, or a truncated one."""


class TooLarge(ValueError):
    """A constant database holds at most 4 GiB."""


def hash_of(key: bytes) -> int:
    """The hash of a key."""
    value = 5381
    for byte in key:
        value = ((value << 5) + value & LARGEST) ^ byte
    return value


def find(data: Buffer, key: bytes) -> bytes | None:
    """The data of the first record with this key, or None. Raises Corrupt."""
    return next(find_all(data, key), None)


def find_all(data: Buffer, key: bytes) -> Iterator[bytes]:
    """The data of every record with this key, in the order they were added. Raises Corrupt."""
    value = hash_of(key)
    table, slots = _pair(data, (value & 255) * 8)
    slot = (value >> 8) % slots if slots else 0
    for _ in range(slots):
        found, position = _pair(data, table + slot * 8)
        if not position:
            return
        if found == value:
            key_size, size = _pair(data, position)
            start = position + 8 + key_size
            if key_size == len(key) and bytes(data[position + 8 : start]) == key:
                if start + size > len(data):
                    raise Corrupt("a record ends behind the file")
                yield bytes(data[start : start + size])
        slot = slot + 1 if slot + 1 < slots else 0


def records(data: Buffer) -> Iterator[tuple[bytes, bytes]]:
    """Every (key, data), in file order. Raises Corrupt."""
    pointers = [_pair(data, 8 * i) for i in range(256)]
    end = min(table for table, _ in pointers)
    if max(table + 8 * slots for table, slots in pointers) > len(data):
        raise Corrupt("a table ends behind the file")
    position = HEADER
    while position < end:
        key_size, size = _pair(data, position)
        start = position + 8 + key_size
        if start + size > end:
            raise Corrupt("a record ends behind the records")
        yield bytes(data[position + 8 : start]), bytes(data[start : start + size])
        position = start + size


def make(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A whole database with these records. Raises TooLarge."""
    body: list[bytes] = []
    position = HEADER
    tables: list[list[tuple[int, int]]] = [[] for _ in range(256)]
    for key, data in pairs:
        value = hash_of(key)
        tables[value & 255].append((value, position))
        body += (_PAIR.pack(len(key), len(data)), key, data)
        position += 8 + len(key) + len(data)
        if position > LARGEST:
            raise TooLarge("more than 4 GiB")
    header = []
    for table in tables:
        slots = len(table) * 2
        header.append(_PAIR.pack(position, slots))
        body.append(_table(table, slots))
        position += 8 * slots
    if position > LARGEST:
        raise TooLarge("more than 4 GiB")
    return b"".join(header) + b"".join(body)


def _table(entries: list[tuple[int, int]], slots: int) -> bytes:
    table = [(0, 0)] * slots
    for value, position in entries:
        slot = (value >> 8) % slots
        while table[slot][1]:
            slot = slot + 1 if slot + 1 < slots else 0
        table[slot] = (value, position)
    return b"".join(_PAIR.pack(*entry) for entry in table)


def _pair(data: Buffer, position: int) -> tuple[int, int]:
    if position + 8 > len(data):
        raise Corrupt("a pointer behind the file")
    first, second = _PAIR.unpack_from(data, position)
    return first, second
