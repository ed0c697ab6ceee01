"""info, local, remote and bounce: the delivery state of queued messages, which qmail-send alone writes.

    info/s/N    the sender, and what he asked for besides; its mtime is the birth of the message
    local/s/N, remote/s/N    the recipients, T while there is something to do, D when done; while qmail-send
                does not run, the mtime is the time of the next attempt
    bounce/N    paragraphs about failures that the sender has not been told of

A name that was removed stays away for sure only after `sync_names`; no number may be given back before.
"""

from __future__ import annotations

import os

from qmail.formats import queuefile
from qmail.formats.queuefile import SPLIT_KINDS, Corrupt
from qmail.host import durable, fds
from qmail.stores.incoming import numbers
from qmail.stores.recipientfile import LONGEST, Recipients
from qmail.stores.whole import Whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qmail.formats.mailparameters import Parameters
    from qmail.stores.queue import Queue

KINDS = (b"local", b"remote")  # by channel
OURS = (b"info", *KINDS, b"bounce")
BATCH_FOR_WHOLE = 3  # messages, or directories, from which on one syncfs is cheaper than their fsyncs
MARKS = 64  # marked files whose marks may wait for the disk
_CHUNK = 65536
_SHORT = 1024
_MOST_ASKED = 4 << 20  # bytes of info/N: mailparameters.LARGEST, and what stands before each record


class Trouble(Exception):
    """The system refused something about one message. `text` names the action and the file, for the log."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


class Prepared:
    """What is to be written about one message: the text of info/N, its recipients by channel, failures so far."""

    __slots__ = ("bounce", "info", "number", "records")

    def __init__(self, number: int, info: bytes, records: tuple[bytes, bytes], bounce: bytes) -> None:
        self.number, self.info, self.records, self.bounce = number, info, records, bounce

    def files(self) -> list[tuple[bytes, bytes]]:
        """(kind, text) of each file."""
        pairs = ((b"bounce", self.bounce), *zip(KINDS, self.records, strict=True))
        return [(kind, text) for kind, text in pairs if text] + [(b"info", self.info)]


class DeliveryState:
    """The delivery state of one queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._unsynced: set[bytes] = set()
        self._doubtful: set[bytes] = set()  # those that a sync has failed for
        self._marked: dict[bytes, int] = {}
        split = [b"%b/%d" % (kind, part) for kind in (b"info", *KINDS) for part in range(queue.split)]
        self._whole = Whole(queue.root, (b"bounce", *split))

    def name(self, kind: bytes, number: int) -> bytes:
        """What the log calls a file: `local/6/1000000`."""
        return queuefile.path(kind, number, self._queue.split)

    # ---- reading

    def parts(self) -> range:
        """The parts that the queue is split into."""
        return range(self._queue.split)

    def queued(self, part: int) -> Iterator[tuple[int, tuple[int | None, int | None]]]:
        """The messages of a part, each with the times of its next attempts, local and remote. Raises OSError."""
        times: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for kind, table in zip(KINDS, times, strict=True):
            with os.scandir(b"%b/%b/%d" % (self._queue.root, kind, part)) as entries:
                for entry in entries:
                    if entry.name.isdigit():
                        table[int(entry.name)] = int(entry.stat(follow_symlinks=False).st_mtime)
        for number in numbers(b"%b/info/%d" % (self._queue.root, part)):
            yield number, (times[0].get(number), times[1].get(number))

    def info(self, number: int) -> tuple[bytes, int, Parameters | None]:
        """(sender, birth in seconds since 1970, what was asked for besides). Raises OSError, and Corrupt."""
        descriptor = fds.open_to_read(self._queue.file(b"info", number))
        try:
            text = os.read(descriptor, _CHUNK)
            if len(text) == _CHUNK and b"\0" in text:
                text += os.pread(descriptor, _MOST_ASKED, _CHUNK)
            birth = int(os.fstat(descriptor).st_mtime)
        finally:
            os.close(descriptor)
        sender, parameters = queuefile.parse_info(text)
        return sender, birth, parameters

    def has(self, kind: bytes, number: int) -> bool:
        """Is this file there? Raises OSError where that cannot be seen."""
        try:
            os.lstat(self._queue.file(kind, number))
        except FileNotFoundError:
            return False
        return True

    def recipients(self, channel: int, number: int) -> Recipients:
        """The recipients that there is something to do for. Raises OSError."""
        return Recipients(self._queue.file(KINDS[channel], number))

    def recipient(self, channel: int, number: int, position: int) -> bytes:
        """The one at this place of its file. Raises OSError, and Corrupt."""
        descriptor = fds.open_to_read(self._queue.file(KINDS[channel], number))
        try:
            text = os.pread(descriptor, _SHORT, position)
            if b"\0" not in text:
                text = os.pread(descriptor, LONGEST, position)
        finally:
            os.close(descriptor)
        record, end, _ = text.partition(b"\0")
        if not end or record[:1] != b"T":
            raise Corrupt("no recipient that is to be done")
        return record[1:]

    # ---- a message that was in todo/ becomes one of ours

    def prepare(self, batch: Sequence[Prepared]) -> dict[int, Trouble]:
        """Write, durably, the files of all these messages, in place of whatever stood there.

        Returns what went wrong, by number; those messages stay as they were, in todo/.
        """
        troubles: dict[int, Trouble] = {}
        at_once = len(batch) >= BATCH_FOR_WHOLE and self._whole.ready()
        for message in batch:
            try:
                self.forget(message.number)
                for kind, text in message.files():
                    self._write(kind, message.number, text, at_once)
            except Trouble as trouble:
                troubles[message.number] = trouble
        if not self.sync_names(at_once):
            for message in batch:
                name = self.name(b"info", message.number)
                troubles.setdefault(message.number, Trouble(b"trouble fsyncing " + name))
        return troubles

    def _write(self, kind: bytes, number: int, text: bytes, at_once: bool) -> None:
        """One new file, durable unless all are synced at once. Raises Trouble."""
        try:
            descriptor = durable.create(self._queue.file(kind, number), 0o600)
        except OSError as error:
            raise Trouble(b"unable to create " + self.name(kind, number)) from error
        self._unsynced.add(self._queue.directory(kind, number))
        try:
            rest = memoryview(text)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if not at_once:
                durable.sync(descriptor)
        except OSError as error:
            raise Trouble(b"trouble writing to " + self.name(kind, number)) from error
        finally:
            os.close(descriptor)

    def forget(self, number: int) -> None:
        """Remove what stands beside todo/N: stale, of a preprocessing that did not end, or of another message.

        Raises Trouble.
        """
        for kind in OURS:
            self.remove(kind, number)

    # ---- deliveries end

    def mark(self, channel: int, number: int, position: int) -> None:
        """The recipient at this byte of the file is done. Reaches the disk with `sync_marks`. Raises Trouble."""
        path = self._queue.file(KINDS[channel], number)
        try:
            descriptor = self._marked.get(path)
            if descriptor is None:
                if len(self._marked) >= MARKS:
                    self.sync_marks()
                descriptor = self._marked[path] = durable.open_update(path)
            os.pwrite(descriptor, b"D", position)
        except OSError as error:
            name = self.name(KINDS[channel], number)
            raise Trouble(b"trouble marking " + name + b"; message will be delivered twice!") from error

    def marks_wait(self) -> bool:
        """Is there a mark that has not reached the disk?"""
        return bool(self._marked)

    def sync_marks(self) -> None:
        """Every mark made so far is on the disk; where that fails, a delivery may be made twice."""
        for descriptor in self._marked.values():
            try:
                durable.sync_data(descriptor)
            except OSError:
                pass
            os.close(descriptor)
        self._marked.clear()

    def record_failures(self, number: int, paragraphs: bytes) -> None:
        """Append to bounce/N, durably: only then may the recipients be marked. Raises Trouble."""
        try:
            descriptor = durable.open_append(self._queue.file(b"bounce", number))
            try:
                rest = memoryview(paragraphs)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                durable.sync(descriptor)
            finally:
                os.close(descriptor)
            durable.sync_directory(self._queue.directory(b"bounce", number))
        except OSError as error:
            raise Trouble(b"unable to append to bounce message; will try again later") from error

    # ---- the end

    def remove(self, kind: bytes, number: int) -> None:
        """Take a file away, if it is there. Raises Trouble."""
        path = self._queue.file(kind, number)
        descriptor = self._marked.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)
        try:
            if durable.remove(path):
                self._unsynced.add(self._queue.directory(kind, number))
        except OSError as error:
            raise Trouble(b"unable to unlink " + self.name(kind, number)) from error

    def set_aside(self, kind: bytes, number: int) -> None:
        """Keep in bad/ a file that held more than could be understood. Raises Trouble."""
        try:
            durable.rename(self._queue.file(kind, number), b"%b/bad/%b.%d" % (self._queue.root, kind, number))
        except OSError as error:
            raise Trouble(b"unable to unlink " + self.name(kind, number)) from error
        self._unsynced |= {self._queue.directory(kind, number), self._queue.root + b"/bad"}

    def sync_names(self, at_once: bool = False) -> bool:
        """Every name made and removed so far is durable. False where the disk refused: no number may be given back.

        `at_once`: and every byte written.
        """
        directories, self._unsynced = self._unsynced, set()
        try:
            for directory in directories & self._doubtful:
                durable.stir_directory(directory)
            if at_once or (len(directories) >= BATCH_FOR_WHOLE and self._whole.ready()):
                self._whole.sync()
            else:
                for directory in directories:
                    durable.sync_directory(directory)
        except OSError:
            self._unsynced |= directories
            self._doubtful |= directories
            return False
        self._doubtful -= directories
        return True

    def sync_everything(self) -> None:
        """What is seen is durable, whatever the one before us did not live to sync. Raises OSError."""
        for kind in OURS:
            parts = self.parts() if kind in SPLIT_KINDS else (None,)
            for part in parts:
                below = b"" if part is None else b"/%d" % part
                durable.sync_directory(self._queue.root + b"/" + kind + below)

    def postpone(self, channel: int, number: int, when: int) -> None:
        """Remember the time of the next attempt over a restart. Raises Trouble."""
        try:
            os.utime(self._queue.file(KINDS[channel], number), (when, when), follow_symlinks=False)
        except OSError as error:
            name = self.name(KINDS[channel], number)
            raise Trouble(b"unable to utime " + name + b"; message will be retried too soon") from error
