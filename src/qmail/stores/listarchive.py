"""The messages that a list has sent: their numbers, and where it is archived a copy of each (ezmlm(5)).

    DIR/num              NUMBER:SIZE, of the last message, and of all bodies together in units of 256 bytes
    DIR/archive/153/07   message 15307; whole, if its owner may execute it
    DIR/archive/153/index

A number is never given to a second message that subscribers may have seen, and a whole copy is never written over.
"""

from __future__ import annotations

import os
import stat

from qmail.formats import listindex
from qmail.formats.listaddress import number
from qmail.formats.verdict import Temporary
from qmail.host import durable, fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.formats.listindex import Entry
    from qmail.stores.listdir import MailingList

WHOLE = 0o744  # the mode of a whole copy
LARGEST = 4 * 1024 * 1024  # bytes of an index of 100 messages, or of a file that goes into an answer


def last(mlist: MailingList) -> tuple[int, int]:
    """Number of the last message, and the size of all, as DIR/num says. Raises Temporary."""
    text = mlist.line(b"num")
    if text is None:
        return 0, 0
    found, rest = number(text)
    if found is None:
        # Not 0: numbers would begin anew.
        raise Temporary(mlist.file(b"num") + b" is damaged: it begins with no number")
    return found, number(rest[1:])[0] or 0


def write_last(mlist: MailingList, found: int, size: int) -> None:
    """Make this the last message. Raises Temporary."""
    try:
        durable.replace_file(mlist.file(b"num"), mlist.file(b"numnew"), b"%d:%d\n" % (found, size), 0o600)
    except OSError as error:
        raise mlist.unwritable(b"num", error) from error


def following(mlist: MailingList, found: int) -> int:
    """The number of the next message: one that no whole copy has, whatever has happened to DIR/num."""
    found += 1
    while is_whole(mlist, found):
        found += 1
    return found


def place(found: int) -> bytes:
    """Where a message's copy is."""
    return b"archive/%d/%02d" % divmod(found, 100)


def is_whole(mlist: MailingList, found: int) -> bool:
    """Is there a whole copy of this message?"""
    try:
        return bool(os.stat(mlist.file(place(found))).st_mode & stat.S_IXUSR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise mlist.unreadable(place(found), error) from error


def pieces(mlist: MailingList, found: int) -> Iterator[bytes]:
    """A whole copy, in pieces. Raises Temporary."""
    try:
        descriptor = os.open(mlist.file(place(found)), os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield from fds.chunks(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise mlist.unreadable(place(found), error) from error


def tail(mlist: MailingList, name: bytes) -> bytes:
    """The last 4 MiB of a file, from the beginning of a line; nothing where it is missing. Raises Temporary."""
    try:
        with open(mlist.file(name), "rb", buffering=0) as file:
            cut = os.fstat(file.fileno()).st_size > LARGEST
            if cut:
                file.seek(-LARGEST, os.SEEK_END)
            text = file.read(LARGEST) or b""
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise mlist.unreadable(name, error) from error
    return text.partition(b"\n")[2] if cut else text


class Copy:
    """A message on its way into the archive: `write`, then `finish`; else `remove` it. Raises Temporary."""

    def __init__(self, mlist: MailingList, found: int) -> None:
        self._mlist, self._name = mlist, place(found)
        self._path = mlist.file(self._name)
        self._descriptor = -1
        try:
            directory = os.path.dirname(self._path)
            for made in (os.path.dirname(directory), directory):
                if not os.path.isdir(made):
                    os.mkdir(made, 0o755)
                    durable.sync_directory(os.path.dirname(made))
            durable.remove(self._path)  # the unfinished copy of a delivery that died
            self._descriptor = durable.create(self._path, WHOLE & ~0o111)
        except OSError as error:
            raise mlist.unwritable(self._name, error) from error

    def write(self, data: bytes) -> None:
        """Bytes of the message."""
        try:
            fds.write_all(self._descriptor, data)
        except OSError as error:
            raise self._mlist.unwritable(self._name, error) from error

    def finish(self) -> None:
        """It is whole, and on the disk."""
        try:
            durable.sync(self._descriptor)
            os.fchmod(self._descriptor, WHOLE)
            durable.sync(self._descriptor)
            durable.sync_directory(os.path.dirname(self._path))
        except OSError as error:
            raise self._mlist.unwritable(self._name, error) from error


def remove(mlist: MailingList, found: int) -> None:
    """Take away the copy of a message that came to nothing, if there is one. Raises Temporary."""
    path = mlist.file(place(found))
    try:
        if durable.remove(path):
            durable.sync_directory(os.path.dirname(path))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise mlist.unwritable(place(found), error) from error


def index(mlist: MailingList, section: int) -> list[Entry]:
    """What the index says of messages 100 * section and following. Raises Temporary."""
    return list(listindex.entries(_index_text(mlist, section)))


def add_to_index(mlist: MailingList, new: Entry) -> None:
    """Put a message behind the earlier ones; what the index says of it and of later ones goes. Raises Temporary."""
    _write_index(mlist, new.number // 100, _index_before(mlist, new.number) + new.text())


def cut_index(mlist: MailingList, found: int) -> None:
    """There is no such message, nor later ones. Raises Temporary."""
    text = _index_before(mlist, found)
    if text != _index_text(mlist, found // 100):
        _write_index(mlist, found // 100, text)


def _index_before(mlist: MailingList, found: int) -> bytes:
    kept: list[bytes] = []
    taken = True
    for line in _index_text(mlist, found // 100).splitlines(keepends=True):
        if not line.startswith(b"\t"):
            taken = (number(line)[0] or found) < found
        if taken:
            kept.append(line)
    return b"".join(kept)


def _write_index(mlist: MailingList, section: int, text: bytes) -> None:
    path = mlist.file(_index_name(section))
    try:
        durable.replace_file(path, path + b"n", text, WHOLE)
    except OSError as error:
        raise mlist.unwritable(_index_name(section), error) from error


def _index_name(section: int) -> bytes:
    return b"archive/%d/index" % section


def _index_text(mlist: MailingList, section: int) -> bytes:
    name = _index_name(section)
    try:
        with open(mlist.file(name), "rb", buffering=0) as file:
            text = file.read(LARGEST + 1) or b""
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise mlist.unreadable(name, error) from error
    if len(text) > LARGEST:
        raise Temporary(mlist.file(name) + b" is larger than 4 MiB")
    return text
