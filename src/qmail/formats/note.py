"""The note that qmail-queued sends qmail-send about messages it has just accepted.

A hint, never the truth: it lets qmail-send begin without opening todo/N, and is dropped where the
file does not match. One packet on the sequenced socket qs/notes holds the notes of one batch.

    note:  length of what follows (4 bytes), number, device, inode, size and ctime_ns of todo/N (8 bytes each,
           big-endian), size in bytes of mess/N (8), text of todo/N
"""

from __future__ import annotations

from struct import Struct

_HEAD = Struct(">6Q")
LARGEST_PACKET = 100_000  # bytes; a batch that needs more sends several packets
LARGEST_NOTE = 16_384  # bytes of todo/N; for a larger one the trigger is pulled instead


class Note:
    """What is known of a fresh message: its number, its todo file, the size of its text."""

    __slots__ = ("ctime_ns", "device", "inode", "mess_size", "number", "size", "todo")

    def __init__(
        self, number: int, device: int, inode: int, size: int, ctime_ns: int, mess_size: int, todo: bytes
    ) -> None:
        self.number, self.device, self.inode = number, device, inode
        self.size, self.ctime_ns, self.mess_size, self.todo = size, ctime_ns, mess_size, todo


def pack(note: Note) -> bytes:
    """One note."""
    head = _HEAD.pack(note.number, note.device, note.inode, note.size, note.ctime_ns, note.mess_size)
    return (len(head) + len(note.todo)).to_bytes(4, "big") + head + note.todo


def unpack(packet: bytes) -> list[Note]:
    """The notes of one packet; what is not a note ends the list."""
    notes, at = [], 0
    while at + 4 + _HEAD.size <= len(packet):
        end = at + 4 + int.from_bytes(packet[at : at + 4], "big")
        if end > len(packet) or end < at + 4 + _HEAD.size:
            break
        number, device, inode, size, ctime_ns, mess_size = _HEAD.unpack_from(packet, at + 4)
        notes.append(Note(number, device, inode, size, ctime_ns, mess_size, packet[at + 4 + _HEAD.size : end]))
        at = end
    return notes
