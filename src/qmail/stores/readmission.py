"""Messages of another queue becoming messages of this one, with all that was known of them.

Nobody sends meanwhile. A message gets a number of its own as every new one does. What was never looked at gets intd/N,
and counts when that is linked to todo/N. The others get bounce/N, local/N and remote/N, and count when info/N is
there. In either case everything else is durable before, and the name that makes it count before anybody is told. A
batch shares the waits for the disk; the journal says how far it came.
"""

from __future__ import annotations

import os

from qmail.formats import mailparameters, queuefile
from qmail.formats.queuefile import SPLIT_KINDS
from qmail.host import clock, durable, fds
from qmail.stores import importjournal
from qmail.stores.importjournal import DONE, READY, UNDONE
from qmail.stores.installation import owners
from qmail.stores.queue import OSSIFIED, Queue, being_written, lock
from qmail.stores.queuecheck import KINDS, MODES
from qmail.stores.whole import Whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qmail.formats.queuearchive import Envelope
    from qmail.stores.home import Home
    from qmail.stores.importjournal import Journal, Key, Note

UNBORN = b".import"  # at the end of a name: no number, and so no file of a message for anybody
STATE = (b"bounce", b"local", b"remote")
MOST_TAKEN = 100  # numbers to step over


class Newcomer:
    """A message that has a number and does not count yet. `descriptor`: where its text goes."""

    __slots__ = ("bounce", "descriptor", "envelope", "key", "number")

    def __init__(self, number: int, descriptor: int) -> None:
        self.number, self.descriptor = number, descriptor
        self.key: Key = (0, b"")
        self.envelope: Envelope | None = None
        self.bounce = b""


class Readmission:
    """The way into `home`'s queue. Everything raises OSError."""

    def __init__(self, home: Home, journal: Journal) -> None:
        self._queue, self._journal = Queue(home.queue), journal
        self._accounts = None if home.single else owners()
        split = [b"%b/%d" % (kind, part) for kind in SPLIT_KINDS for part in range(self._queue.split)]
        self._whole = Whole(home.queue, (b"pid", b"intd", b"todo", b"bounce", *split))
        self._names = 0

    # ---- one message

    def begin(self) -> Newcomer:
        """A new message with a number that no name in the queue has."""
        held: list[int] = []
        try:
            while True:
                self._names += 1
                name = b"%b/pid/import.%d.%d" % (self._queue.root, os.getpid(), self._names)
                durable.remove(name)
                descriptor = durable.create(name)
                number = os.fstat(descriptor).st_ino
                if not any(os.path.lexists(self._queue.file(kind, number)) for kind in KINDS):
                    break
                held.append(descriptor)
                durable.remove(name)
                if len(held) > MOST_TAKEN:
                    raise OSError("no free number")
            lock(descriptor)
            self._dress(descriptor, b"mess")
            durable.link(name, self._queue.file(b"mess", number))
            durable.remove(name)
        finally:
            for each in held:
                os.close(each)
        return Newcomer(number, descriptor)

    def drop(self, newcomer: Newcomer) -> None:
        """It is not to come in."""
        durable.remove(self._queue.file(b"mess", newcomer.number))
        os.close(newcomer.descriptor)

    # ---- a batch

    def commit(self, batch: Sequence[Newcomer]) -> None:
        """All of these count when this returns. Where it raises, `settle` says later which do."""
        messages = [(one.number, one.key) for one in batch]
        self._journal.write(importjournal.BEGUN, messages)
        try:
            self._prepare(batch)
            self._journal.write(READY, messages)
        except OSError:
            for one in batch:
                self._clear(one.number)
                os.close(one.descriptor)
            self._journal.write(UNDONE, messages)
            raise
        directories = set()
        for one in batch:
            assert one.envelope is not None
            if one.envelope.fresh:
                durable.link(self._queue.file(b"intd", one.number), self._queue.file(b"todo", one.number))
            else:
                durable.rename(self._unborn(one.number), self._queue.file(b"info", one.number))
            directories.add(self._queue.directory(b"todo" if one.envelope.fresh else b"info", one.number))
        self._sync(directories, self._whole.ready())
        self._journal.write(DONE, messages)
        for one in batch:
            os.close(one.descriptor)

    def _prepare(self, batch: Sequence[Newcomer]) -> None:
        at_once = self._whole.ready()
        if not at_once:
            for one in batch:
                durable.sync(one.descriptor)
        # Before any other name: as long as mess/N is there, N is nobody else's.
        self._sync({self._queue.directory(b"mess", one.number) for one in batch}, at_once)
        directories = set()
        for one in batch:
            for kind, path, text, when in self._files(one):
                self._write(kind, path, text, when, at_once)
                if kind in STATE:  # the others get another name, and that is synced
                    directories.add(os.path.dirname(path))
        self._sync(directories, at_once)

    def _files(self, one: Newcomer) -> list[tuple[bytes, bytes, bytes, int]]:
        """(kind, path, text, time or 0) of all but the message."""
        envelope, file = one.envelope, self._queue.file
        assert envelope is not None
        asked = mailparameters.parse(envelope.asked)
        if envelope.fresh:
            text = queuefile.todo(queuefile.Envelope(envelope.sender, envelope.fresh, envelope.uid, envelope.qp, asked))
            return [(b"intd", file(b"intd", one.number), text, 0)]
        found = [(b"info", self._unborn(one.number), queuefile.info(envelope.sender, asked), envelope.birth)]
        for kind, records in envelope.records.items():
            text = b"".join(b"%b%b\0" % (b"D" if done else b"T", recipient) for done, recipient in records)
            found.append((kind, file(kind, one.number), text, envelope.due[kind]))
        if one.bounce:
            found.append((b"bounce", file(b"bounce", one.number), one.bounce, 0))
        return found

    def _unborn(self, number: int) -> bytes:
        return self._queue.file(b"info", number) + UNBORN

    def _write(self, kind: bytes, path: bytes, text: bytes, when: int, at_once: bool) -> None:
        descriptor = durable.create(path, MODES[kind][1])
        try:
            fds.write_all(descriptor, text)
            self._dress(descriptor, kind)
            if when:
                os.utime(descriptor, (when, when))
            if not at_once:
                durable.sync(descriptor)
        finally:
            os.close(descriptor)

    def _dress(self, descriptor: int, kind: bytes) -> None:
        account, mode = MODES[kind]
        os.fchmod(descriptor, mode)
        if self._accounts is not None:
            os.fchown(descriptor, self._accounts[account], self._accounts[b"group qmail"])

    def _sync(self, directories: set[bytes], at_once: bool) -> None:
        if at_once:
            self._whole.sync()
        else:
            for directory in directories:
                durable.sync_directory(directory)

    # ---- after an end in the middle

    def settle(self) -> Iterator[tuple[Note, bool]]:
        """Finish what an earlier import has left. Of each message, whether it counts."""
        for note in self._journal.unfinished():
            counts = self._counts(note)
            self._journal.write(DONE if counts else UNDONE, [(note.number, note.key)])
            yield note, counts

    def _counts(self, note: Note) -> bool:
        number, path = note.number, self._queue.file(b"mess", note.number)
        live = any(os.path.lexists(self._queue.file(kind, number)) for kind in (b"todo", b"info"))
        same = os.path.lexists(path) and not being_written(path) and _digest(path) == note.key[1]
        if not live and (same or not os.path.lexists(path)):
            self._clear(number)
        if note.word != READY or same:
            return live and same and note.word == READY
        # It was whole on the disk, and is not there: somebody got it, unless it was so long ago that it was removed.
        return note.seconds + OSSIFIED > clock.now()

    def _clear(self, number: int) -> None:
        for path in (self._unborn(number), *(self._queue.file(kind, number) for kind in (*STATE, b"intd"))):
            if durable.remove(path):
                durable.sync_directory(os.path.dirname(path))
        durable.remove(self._queue.file(b"mess", number))


def _digest(path: bytes) -> bytes:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()
