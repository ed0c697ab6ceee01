"""Packets with descriptors between related processes."""

from __future__ import annotations

import os

from qmail.host import passing


def test_an_end_that_is_gone_is_the_end_whether_or_not_it_had_read_all() -> None:
    for unread in ([], [b"x"], [b"x", b"y"]):
        ours, theirs = passing.pair()
        for packet in unread:
            ours.send(packet)
        theirs.close()
        assert ours.receive() == (b"", [])
        assert ours.receive_bare() == b""
        ours.close()


def test_a_packet_arrives_whole_with_its_descriptors() -> None:
    ours, theirs = passing.pair()
    reading, writing = os.pipe()
    ours.send(b"a" * 5000, [writing])
    packet, (passed,) = theirs.receive()
    os.write(passed, b"through")
    assert (packet, os.read(reading, 10)) == (b"a" * 5000, b"through")
    assert not os.get_inheritable(passed)
    passing.close_all([reading, writing, passed])
    ours.close()
    assert theirs.receive_bare() == b""
    theirs.close()
