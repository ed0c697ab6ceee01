"""The table of hosts that lately timed out."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import tcpto

V4, V6 = b"\x7f\0\0\1", b"\x20\x01" + bytes(13) + b"\1"


def written(table: bytes, record: tcpto.Record | None) -> bytes:
    if record is None:
        return table
    table = table.ljust(record.offset, b"\0")
    return table[: record.offset] + record.packed() + table[record.offset + len(record.packed()) :]


def test_the_first_part_is_that_of_the_c_programs() -> None:
    table = (V4 + struct.pack("<BxxxI", 2, 1000) + bytes(4)).ljust(1024, b"\0")
    assert [(each.address, each.timeouts, each.when) for each in tcpto.records(table)] == [(V4, 2, 1000)]
    assert tcpto.is_shunned(table, V4, 1500, 3600)
    assert not tcpto.is_shunned(table, V4, 9000, 3600)
    assert written(bytes(1024), tcpto.timed_out(bytes(1024), V4, 1000))[:12] == V4 + struct.pack("<BxxxI", 1, 1000)


def test_a_host_is_left_alone_after_two_timeouts_that_are_apart() -> None:
    for address in (V4, V6):
        table = written(bytes(1024), tcpto.timed_out(bytes(1024), address, 1000))
        assert not tcpto.is_shunned(table, address, 1001, 3600)
        assert tcpto.timed_out(table, address, 1119) is None
        table = written(table, tcpto.timed_out(table, address, 1120))
        assert tcpto.is_shunned(table, address, 1121, 3600)
        table = written(table, tcpto.connected(table, address))
        assert not list(tcpto.records(table))


def test_fault_096_a_timeout_in_the_future_shuns_nobody() -> None:
    for address in (V4, V6):
        table = bytes(1024)
        for when in (100_000, 100_200):
            table = written(table, tcpto.timed_out(table, address, when))
        assert tcpto.is_shunned(table, address, 100_300, 3600)
        assert not tcpto.is_shunned(table, address, 100_000 - 86_400, 3600)
        table = written(table, tcpto.timed_out(table, address, 100_000 - 86_400))
        assert tcpto.is_shunned(table, address, 100_001 - 86_400, 3600)


def test_a_full_table_forgets_the_oldest() -> None:
    for size in (4, 16):
        table = bytes(1024)
        for i in range(64):
            table = written(table, tcpto.timed_out(table, i.to_bytes(size, "big"), 1000 + (i + 32) % 64))
        table = written(table, tcpto.timed_out(table, b"\xff" * size, 5000))
        known = {record.address for record in tcpto.records(table)}
        assert len(known) == 64
        assert (32).to_bytes(size, "big") not in known


@given(st.binary(max_size=4000), st.sampled_from([V4, V6]), st.integers(0, 2**33))
def test_any_bytes_are_a_table(table: bytes, address: bytes, now: int) -> None:
    list(tcpto.records(table))
    tcpto.is_shunned(table, address, now, 3600)
    for record in (tcpto.timed_out(table, address, now), tcpto.connected(table, address)):
        assert record is None or record.offset + len(record.packed()) <= tcpto.SIZE


def test_an_empty_table_has_no_room_for_ipv4() -> None:
    assert tcpto.timed_out(b"", V4, 1000) is None
