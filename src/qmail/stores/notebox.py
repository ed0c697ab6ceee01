"""Where qmail-queued's notes arrive: the socket QMAIL_HOME/qs/notes, open to qmail-queued alone."""

from __future__ import annotations

import os
from functools import partial

from qmail.formats import note
from qmail.host import localsocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.note import Note
    from qmail.host.loop import Loop


class NoteBox:
    """Listens, and gathers notes. `uid`: whose count. Raises OSError where it cannot listen."""

    def __init__(self, path: bytes, uid: int, loop: Loop) -> None:
        self._uid, self._loop = uid, loop
        self._notes: list[Note] = []
        self._listener = localsocket.Listener(path, 0o660, localsocket.PACKETS)
        loop.watch(self._listener.fileno(), self._accept)

    def take(self) -> list[Note]:
        """The notes that came since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def _accept(self, _events: int) -> None:
        try:
            peer = self._listener.accept()
        except OSError:
            return  # no descriptors left; what it would have told is found in todo/
        if peer is None:
            return
        if peer.uid != self._uid:
            os.close(peer.descriptor)
            return
        self._loop.watch(peer.descriptor, partial(self._read, peer.descriptor))

    def _read(self, descriptor: int, _events: int) -> None:
        try:
            packet = os.read(descriptor, note.LARGEST_PACKET + 1)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        self._notes += note.unpack(packet)
        if not packet:
            self._loop.forget(descriptor)
            os.close(descriptor)
