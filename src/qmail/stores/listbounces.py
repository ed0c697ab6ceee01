"""The failures that a list has been told of, until its subscribers are warned (ezmlm(5)).

    DIR/bounce/d/170000/d1234.567   the first notice about an address, come at 1700001234 seconds:
                                    the address, NUL, a Return-Path line, the message
    DIR/bounce/d/170000/w1234.567   the same about a warning
    DIR/bounce/h/a/hbcdefg...       the numbers of messages that did not reach an address, one a line
    DIR/bounce/lastd                when notices were looked at last

Everything happens under DIR/lockbounce. A notice is whole when it has its name; one that died half-way begins with
`_` and is removed when it is old. Those of the digest are in DIR/digest/bounce.
"""

from __future__ import annotations

import os

from qmail.formats.listaddress import number
from qmail.formats.listcookie import fingerprint
from qmail.host import durable
from qmail.stores.subscribers import below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.stores.listdir import MailingList

SPAN = 10_000  # seconds of notices in one directory
LARGEST = 64 * 1024  # bytes of a notice that are kept
MOST = 64 * 1024  # bytes of message numbers that are kept for one address


class Notice:
    """A kept notice. `of_warning`: it is about a warning, not about a message of the list."""

    __slots__ = ("address", "name", "of_warning", "text")

    def __init__(self, name: bytes, address: bytes, text: bytes) -> None:
        self.name, self.address, self.text = name, address, text
        self.of_warning = os.path.basename(name).startswith(b"w")


class Bounces:
    """The notices of a list, or of its digest. Make one while DIR/lockbounce is held. Everything raises Temporary."""

    def __init__(self, mlist: MailingList, database: bytes) -> None:
        self._mlist, self._database = mlist, database

    def keep(self, address: bytes, text: bytes, now: int, *, of_warning: bool = False, index: int = 0) -> None:
        """Keep a notice. `index` makes the names of several in one message different."""
        directory = b"d/%d" % (now // SPAN)
        letter = b"w" if of_warning else b"d"
        name = b"%b/%b%d.%d" % (directory, letter, now % SPAN, os.getpid())
        if index:
            name += b".%d" % index
        self._make(directory)
        path, new = self._path(name), self._path(b"d/_%d.%d" % (now, os.getpid()))
        self._replace(path, new, address + b"\0" + text[:LARGEST])

    def number(self, address: bytes, found: int) -> bool:
        """Note that this message did not reach the address; True for the first one since the last warning."""
        name = self._numbers(address)
        told = self._read(name)
        self._make(os.path.dirname(name))
        line = b"   %d\n" % found
        if told is None or len(told) < MOST:
            self._replace(self._path(name), self._path(os.path.dirname(name) + b"/H"), (told or b"") + line)
        return told is None

    def numbers(self, address: bytes) -> bytes:
        """The numbers of messages that did not reach the address, one a line."""
        return self._read(self._numbers(address)) or b""

    def forget_numbers(self, address: bytes) -> None:
        """The address has been told of them."""
        self._remove(self._numbers(address))

    def old(self, before: int) -> Iterator[Notice]:
        """Every notice in directories that hold nothing from `before` on; leftovers there are removed."""
        for directory in self._names(b"d"):
            told, rest = number(directory)
            if told is None or rest:
                if directory.startswith(b"_"):
                    self._remove(b"d/" + directory)
                continue
            if (told + 1) * SPAN > before:
                continue
            for file in self._names(b"d/" + directory):
                name = b"d/%b/%b" % (directory, file)
                address, end, text = (self._read(name) or b"").partition(b"\0")
                if end and file.startswith((b"d", b"w")):
                    yield Notice(name, address, text)
                else:
                    self._remove(name)
            try:
                os.rmdir(self._path(b"d/" + directory))
            except OSError:
                pass  # somebody has put something there; the next look goes on

    def remove(self, notice: Notice) -> None:
        """It has been acted on."""
        self._remove(notice.name)

    def looked(self) -> int:
        """When notices were looked at last."""
        return self._mlist.count(self._file(b"lastd"))

    def look(self, now: int) -> None:
        """They are looked at now."""
        self._replace(self._path(b"lastd"), self._path(b"lastD"), b"%d" % now)

    def _file(self, name: bytes) -> bytes:
        return below(self._database, b"bounce/" + name)

    def _path(self, name: bytes) -> bytes:
        return self._mlist.file(self._file(name))

    def _numbers(self, address: bytes) -> bytes:
        letters = fingerprint(address.lower())
        return b"h/%b/h%b" % (letters[:1], letters[1:])

    def _make(self, name: bytes) -> None:
        try:
            at = b""
            for part in (b"", *name.split(b"/")):
                at = at + b"/" + part if at else part
                if not os.path.isdir(self._path(at)):
                    os.mkdir(self._path(at).rstrip(b"/"), 0o700)
                    durable.sync_directory(os.path.dirname(self._path(at).rstrip(b"/")))
        except OSError as error:
            raise self._mlist.unwritable(self._file(name), error) from error

    def _replace(self, path: bytes, new: bytes, text: bytes) -> None:
        try:
            durable.replace_file(path, new, text, 0o600)
        except OSError as error:
            raise self._mlist.unwritable(path, error) from error

    def _remove(self, name: bytes) -> None:
        try:
            if durable.remove(self._path(name)):
                durable.sync_directory(os.path.dirname(self._path(name)))
        except OSError as error:
            raise self._mlist.unwritable(self._file(name), error) from error

    def _read(self, name: bytes) -> bytes | None:
        return self._mlist.text(self._file(name))

    def _names(self, name: bytes) -> list[bytes]:
        try:
            return sorted(os.listdir(self._path(name)))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._mlist.unreadable(self._file(name), error) from error
