"""The whole queue as it stands on the disk, ours or one that C qmail has left, and everything that is wrong in it."""

from __future__ import annotations

import os
import stat

from qmail.formats import queuefile
from qmail.formats.verdict import Permanent
from qmail.host import clock
from qmail.rules import queuestates
from qmail.rules.queuestates import File
from qmail.stores.installation import owners
from qmail.stores.queue import OSSIFIED, Queue, being_written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.rules.queuestates import Fault
    from qmail.stores.home import Home

# What is made later is looked at earlier: mail that comes in meanwhile is whole whenever it is seen.
KINDS = (b"todo", b"info", b"local", b"remote", b"bounce", b"intd", b"mess")
MODES = {kind: (b"qmailq", 0o644) if kind in (b"todo", b"intd", b"mess") else (b"qmails", 0o600) for kind in KINDS}
LEAST = {b"mess": 0o640}  # of a mode, where that is enough (queue-files(5))
LARGEST = 128 * 1024 * 1024  # bytes of a file of records


class Misfit:
    """A file that is in the wrong place, or no file of the queue at all. `target`: where it belongs, if anywhere."""

    __slots__ = ("kind", "path", "target", "what")

    def __init__(self, kind: bytes, path: bytes, what: bytes, target: bytes | None = None) -> None:
        self.kind, self.path, self.what, self.target = kind, path, what, target


class Undressed:
    """A file with another owner or mode than it must have."""

    __slots__ = ("mode", "path", "uid", "what")

    def __init__(self, path: bytes, what: bytes, uid: int, mode: int) -> None:
        self.path, self.what, self.uid, self.mode = path, what, uid, mode


class Checked:
    """One look at everything. Raises OSError where the queue cannot be read, and Permanent without qmail's users."""

    def __init__(self, home: Home) -> None:
        self.queue = Queue(home.queue)
        self.messages: dict[int, dict[bytes, File]] = {}
        self.misfits: list[Misfit] = []
        self.undressed: list[Undressed] = []
        self._accounts = None if home.single else owners()
        self._now = clock.now()
        for kind in KINDS:
            for directory in self._directories(kind):
                self._look(kind, directory)
        self._count_names()
        self.stale = [self.queue.root + b"/pid/" + name for name in os.listdir(self.queue.root + b"/pid")]
        self.stale = [path for path in self.stale if self._old(os.lstat(path))]

    def _count_names(self) -> None:
        """A message that has only begun to come in is called something in pid/ as well: that is no second name."""
        messages = [files[b"mess"] for files in self.messages.values() if b"mess" in files]
        names: dict[int, int] = {}
        for message in messages:
            names[message.inode] = names.get(message.inode, 0) + 1
        for message in messages:
            message.links = names[message.inode]

    def faults(self) -> list[Fault]:
        """What is wrong with messages, by number."""
        every = sorted(self.messages.items())
        return [fault for number, files in every for fault in queuestates.faults(number, files)] + list(self._doubles())

    def _doubles(self) -> Iterator[Fault]:
        """Messages with two numbers: a renumbering that was ended half-way."""
        for kind in (b"todo", b"info"):
            seen: dict[int, list[int]] = {}
            for number, files in self.messages.items():
                if kind in files and files[kind].links > 1:
                    seen.setdefault(files[kind].inode, []).append(number)
            for numbers in seen.values():
                for number in numbers if len(numbers) > 1 else ():
                    files = self.messages[number]
                    if b"mess" in files and files[b"mess"].inode != number:
                        what = b"%b/%d is a second name of another message's" % (kind, number)
                        yield queuestates.Fault(number, what, queuestates.REMOVE, [kind])

    def _directories(self, kind: bytes) -> Iterator[bytes]:
        top = self.queue.root + b"/" + kind
        if kind not in queuefile.SPLIT_KINDS:
            yield top
            return
        for name in sorted(os.listdir(top)):
            path = top + b"/" + name
            if name.isdigit() and os.path.isdir(path):
                yield path
            elif _number(name) and os.path.isfile(path) and not os.path.islink(path):
                self._misplaced(kind, _number(name), path, os.lstat(path))
            else:
                self._misfit(kind, path)

    def _look(self, kind: bytes, directory: bytes) -> None:
        for name in os.listdir(directory):
            path, number = directory + b"/" + name, _number(name)
            try:
                status = os.lstat(path)
                if stat.S_ISDIR(status.st_mode) and kind in (b"todo", b"intd") and name.isdigit():
                    raise Permanent(directory + b" is divided, as by the patch big-todo; that is not understood here")
                if not number or not stat.S_ISREG(status.st_mode):
                    self._misfit(kind, path)
                elif path != self.queue.file(kind, number):
                    self._misplaced(kind, number, path, status)
                else:
                    self._dress(kind, path, status)
                    self.messages.setdefault(number, {})[kind] = self._file(kind, path, status)
            except FileNotFoundError:
                continue  # finished since it was seen

    def _file(self, kind: bytes, path: bytes, status: os.stat_result) -> File:
        sense, left = _contents(kind, path, status.st_size)
        old = self._old(status) and not (kind == b"mess" and being_written(path))
        return File(status.st_ino, links=status.st_nlink, old=old, sense=sense, left=left)

    def _old(self, status: os.stat_result) -> bool:
        return max(status.st_atime, status.st_mtime) + OSSIFIED < self._now

    def _misfit(self, kind: bytes, path: bytes) -> None:
        self.misfits.append(Misfit(kind, path, path + b" is no file of a message"))

    def _misplaced(self, kind: bytes, number: int, path: bytes, status: os.stat_result) -> None:
        target = self.queue.file(kind, number)
        if os.path.lexists(target):
            self.misfits.append(Misfit(kind, path, path + b" is not where it is looked for, and another file is"))
        else:
            self.misfits.append(Misfit(kind, path, path + b" is not where it is looked for", target))
            self.messages.setdefault(number, {})[kind] = self._file(kind, path, status)

    def _dress(self, kind: bytes, path: bytes, status: os.stat_result) -> None:
        account, mode = MODES[kind]
        uid = status.st_uid if self._accounts is None else self._accounts[account]
        have = stat.S_IMODE(status.st_mode)
        if status.st_uid != uid or have & (least := LEAST.get(kind, mode)) != least or have & 0o7022:
            what = path + b" belongs to uid %d and has mode %o" % (status.st_uid, have)
            self.undressed.append(Undressed(path, what, uid, mode))


def _number(name: bytes) -> int:
    """The number that a file is called, 0 where it is none."""
    return int(name) if name.isdigit() and name[:1] != b"0" and len(name) < 20 else 0


def _contents(kind: bytes, path: bytes, size: int) -> tuple[bool, bool]:
    """(it can be read to its end, it names somebody who is still to be served)."""
    if kind in (b"mess", b"bounce", b"intd"):
        return True, False
    if size > LARGEST:
        return False, True
    with open(path, "rb", buffering=0) as file:
        text = file.readall()
    if kind == b"todo":
        try:
            queuefile.parse_todo(text)
        except queuefile.Corrupt:
            return False, True
        return True, True
    if kind == b"info":
        return text[:1] == b"F" and b"\0" in text, False
    whole, _ = sensible(text)
    return whole == text, b"T" in {record[:1] for record in whole.split(b"\0")}


def sensible(text: bytes) -> tuple[bytes, int]:
    """The records of local/N or remote/N that make sense, and how many do not."""
    records = text.split(b"\0")
    good = [record for record in records[:-1] if record[:1] in (b"T", b"D")]
    return b"".join(record + b"\0" for record in good), len(records) - 1 - len(good) + bool(records[-1])
