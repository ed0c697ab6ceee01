"""A conversation over two descriptors, each wait with a time limit; what is said goes out before we listen."""

from __future__ import annotations

import os
import select
import sys

BLOCK = 65536
DATA_SEGMENTS_OUT = 156  # its place in struct tcp_info
PIECE = 4096  # bytes written at once, so that a write after poll does not wait


class Conversation:
    """Reads from one descriptor, writes to another, within `seconds` a wait. Raises OSError (TimeoutError)."""

    def __init__(self, source: int, target: int, seconds: int) -> None:
        self._source, self._target, self._limit = source, target, seconds * 1000
        self._held: list[bytes] = []
        self._size = 0

    def say(self, text: bytes) -> None:
        """Say this, at the latest before the next wait for the other side."""
        self._held.append(text)
        self._size += len(text)
        if self._size >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Say it now."""
        view = memoryview(b"".join(self._held))
        self._held, self._size = [], 0
        while view:
            self._wait(self._target, select.POLLOUT)
            view = view[os.write(self._target, view[:PIECE]) :]

    def hear(self) -> bytes:
        """What the other side says, or nothing at its end."""
        self.flush()
        self._wait(self._source, select.POLLIN)
        return os.read(self._source, BLOCK)

    def _wait(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(self._limit):
            raise TimeoutError


def ended(handle: int, seconds: int) -> bool:
    """Has the process of this pidfd ended, at the latest after so many seconds?"""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def segments_sent(descriptor: int) -> int | None:
    """How many pieces of data anybody has sent over this TCP connection; None where it is none."""
    import _socket

    try:
        connection = _socket.socket(fileno=os.dup(descriptor))
        try:
            found = connection.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_INFO, DATA_SEGMENTS_OUT + 4)
        finally:
            connection.close()
    except OSError:
        return None
    whole = len(found) == DATA_SEGMENTS_OUT + 4  # since Linux 4.6
    return int.from_bytes(found[DATA_SEGMENTS_OUT:], sys.byteorder) if whole else None
