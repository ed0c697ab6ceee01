"""queue/imported: which messages were imported, so that an import that is started again takes none in twice.

    begun NEW OLD SUM SECONDS     its files are being made
    ready NEW OLD SUM SECONDS     all of them are on the disk; from now on it may count
    done NEW OLD SUM SECONDS      it counts
    undone NEW OLD SUM SECONDS    it does not, and nothing is left of it

NEW and OLD are its numbers here and where it comes from, SUM is the SHA-256 of the message. The file may be removed
when nothing more is to be imported.
"""

from __future__ import annotations

import os

from qmail.host import clock, durable, fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Key: TypeAlias = tuple[int, bytes]

NAME = b"/imported"
BEGUN, READY, DONE, UNDONE = b"begun", b"ready", b"done", b"undone"


class Note:
    """The last that was written of a message."""

    __slots__ = ("key", "number", "seconds", "word")

    def __init__(self, word: bytes, number: int, key: Key, seconds: int) -> None:
        self.word, self.number, self.key, self.seconds = word, number, key, seconds


class Journal:
    """The journal of the queue at `root`. Raises OSError."""

    def __init__(self, root: bytes) -> None:
        self._path = root + NAME
        self._notes = {note.key: note for note in read(root)}
        self._descriptor = -1

    def unfinished(self) -> list[Note]:
        """What an earlier import did not live to end."""
        return [note for note in self._notes.values() if note.word in (BEGUN, READY)]

    def imported(self, key: Key) -> Note | None:
        """The message (old number, sum), if it is here already."""
        note = self._notes.get(key)
        return note if note is not None and note.word == DONE else None

    def write(self, word: bytes, messages: Sequence[tuple[int, Key]]) -> None:
        """Note this of messages (new number, key), durably."""
        now = int(clock.now())
        notes = [Note(word, number, key, now) for number, key in messages]
        lines = [b"%b %d %d %b %d\n" % (word, each.number, *each.key, now) for each in notes]
        if self._descriptor < 0:
            self._descriptor = durable.open_append(self._path)
            durable.sync_directory(os.path.dirname(self._path))
            lines.insert(0, b"\n")  # the last line may be torn
        fds.write_all(self._descriptor, b"".join(lines))
        durable.sync(self._descriptor)
        self._notes.update({note.key: note for note in notes})


def read(root: bytes) -> list[Note]:
    """Everything noted, oldest first. Raises OSError."""
    try:
        with open(root + NAME, "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    notes = []
    for line in lines:
        words = line.split(b" ")
        if len(words) == 5 and all(word.isdigit() for word in (words[1], words[2], words[4])):
            notes.append(Note(words[0], int(words[1]), (int(words[2]), words[3]), int(words[4])))
    return notes
