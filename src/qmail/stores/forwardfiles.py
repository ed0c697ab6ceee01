"""The files of fastforward: a forwarding database, and binary mailing lists.

Both are replaced by a rename while deliveries read them, so that every reader has the old file or the
new one, whole.
"""

from __future__ import annotations

import os
import stat

from qmail.formats import cdb, maillist
from qmail.formats.dotqmail import PROGRAM, instructions
from qmail.formats.shellwords import arguments
from qmail.formats.verdict import Permanent, Temporary
from qmail.host import durable, fds
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

READABLE = 0o004  # by everybody
HELD = 65536  # bytes of a list that are gathered before they are written
LARGEST = 64 << 20  # bytes of a .qmail file


class Database:
    """A forwarding database. Raises Temporary where it cannot be read."""

    def __init__(self, path: bytes) -> None:
        from mmap import PROT_READ, mmap

        self._path = path
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                self._data = memoryview(mmap(descriptor, 0, prot=PROT_READ))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unreadable(path, error) from error
        except ValueError:  # an empty file
            raise self._bad() from None

    def find(self, key: bytes) -> bytes | None:
        """The data of a record. Raises Temporary."""
        try:
            return cdb.find(self._data, key)
        except cdb.Corrupt:
            raise self._bad() from None

    def _bad(self) -> Temporary:
        return Temporary(b"unable to read " + self._path + b": bad database format")


def members(path: bytes) -> Iterator[bytes]:
    """The members of a binary list, which anybody may read. Raises Temporary."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        # Whoever may point to a file must not learn more of it than everybody may.
        mode = os.fstat(descriptor).st_mode
        if not mode & READABLE:
            raise Temporary(path + b" is not world-readable")
        if not stat.S_ISREG(mode):
            raise Temporary(b"unable to read " + path + b": not a file")
        yield from maillist.members(fds.chunks(descriptor))
    except OSError as error:
        raise unreadable(path, error) from error
    except maillist.Malformed as wrong:
        raise Temporary(b"unable to read " + path + b": " + str(wrong).encode()) from None
    finally:
        os.close(descriptor)


def text(path: bytes, limit: int) -> bytes:
    """A whole file. Raises Temporary, also where it is larger than `limit` bytes."""
    try:
        with open(path, "rb", buffering=0) as file:
            found = fds.read_all(file.fileno(), limit)
    except OSError as error:
        raise unreadable(path, error) from error
    if found is None:
        raise Temporary(b"unable to read %b: larger than %d MiB" % (path, limit >> 20))
    return found


def replace_database(path: bytes, temporary: bytes, records: Iterable[tuple[bytes, bytes]]) -> None:
    """A new database in place of the old one, readable for everybody. Raises Permanent or Temporary."""
    try:
        data = cdb.make(records)
    except cdb.TooLarge:
        raise Permanent(b"more than 4 GiB of instructions") from None
    _replace(path, temporary, (data,))


def replace_list(path: bytes, temporary: bytes, entries: Iterable[bytes]) -> None:
    """A new list in place of the old one, readable for everybody. Raises Temporary, and what `entries` raises."""
    _replace(path, temporary, (entry + b"\0" for entry in entries))


def _replace(path: bytes, temporary: bytes, parts: Iterable[bytes]) -> None:
    def write(descriptor: int) -> None:
        held: list[bytes] = []
        size = 0
        for part in parts:
            held.append(part)
            size += len(part)
            if size >= HELD:
                fds.write_all(descriptor, b"".join(held))
                held, size = [], 0
        fds.write_all(descriptor, b"".join(held))

    try:
        durable.replace_with(path, temporary, write, 0o644)
    except OSError as error:
        raise Temporary(b"unable to write %b or to move it to %b: %b" % (temporary, path, reason(error))) from error


def databases(text: bytes) -> list[bytes]:
    """The databases that a .qmail file has fastforward read."""
    programs = (each.value for each in instructions(text, forward_only=False) if each.kind == PROGRAM)
    return [words[-1] for program in programs for words in arguments(program, b"fastforward") if words]


def in_use(directory: bytes) -> bool:
    """Does any .qmail file in this directory run fastforward? Raises Temporary where that cannot be seen."""
    try:
        names = [name for name in os.listdir(directory) if name.startswith(b".qmail")]
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unreadable(directory, error) from error
    return any(databases(text(directory + b"/" + name, LARGEST)) for name in names)


def unreadable(path: bytes, error: OSError) -> Temporary:
    """What to raise for a file that cannot be read."""
    return Temporary(b"unable to read " + path + b": " + reason(error))
