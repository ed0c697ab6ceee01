"""Telling qmail-send of fresh messages: notes where it listens, the trigger where it does not.

qmail-queued never waits for qmail-send. A note is a hint; whatever cannot be told by one is found in
todo/ after the trigger was pulled.
"""

from __future__ import annotations

import os

from qmail.formats import note
from qmail.host import fds, localsocket
from qmail.stores import trigger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.formats.note import Note
    from qmail.stores.arrival import Arrival


class Notes:
    """The way to the qmail-send that listens at `path`, for the queue at `root`."""

    def __init__(self, path: bytes, root: bytes) -> None:
        self._path, self._root = path, root
        self._descriptor = -1

    def send(self, fresh: Sequence[Arrival]) -> None:
        """Tell of these messages, which are in todo/ and still open."""
        told = self._descriptor >= 0 or self._connect()
        if told:
            notes = [arrival.note() for arrival in fresh]
            for packet in _packets(notes):
                told = self._send(packet) and told
            told = told and all(map(_fits, notes))
        if not told:
            trigger.pull(self._root)

    def _send(self, packet: bytes) -> bool:
        for _attempt in range(2):
            if self._descriptor < 0 and not self._connect():
                return False
            try:
                os.write(self._descriptor, packet)
                return True
            except BlockingIOError:
                return False  # it is busy
            except OSError:
                # That qmail-send is gone; there may be another one.
                self.close()
        return False

    def _connect(self) -> bool:
        try:
            self._descriptor = localsocket.connect(self._path, localsocket.PACKETS)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hang up."""
        if self._descriptor >= 0:
            fds.let_go(self._descriptor)
            self._descriptor = -1


def _fits(one: Note) -> bool:
    return 0 < len(one.todo) <= note.LARGEST_NOTE


def _packets(fresh: Sequence[Note]) -> list[bytes]:
    packets: list[list[bytes]] = [[]]
    room = note.LARGEST_PACKET
    for one in fresh:
        if not _fits(one):
            continue
        text = note.pack(one)
        if len(text) > room:
            packets.append([])
            room = note.LARGEST_PACKET
        packets[-1].append(text)
        room -= len(text)
    return [b"".join(packet) for packet in packets if packet]
