"""The directory of a mailing list (ezmlm(5)): settings in small files, the lock, and the files that belong to it."""

from __future__ import annotations

import os

from qmail.formats.listflags import BY_LETTER
from qmail.formats.listtext import filled
from qmail.formats.verdict import Permanent, Temporary
from qmail.host import locks
from qmail.host.reasons import reason

LARGEST = 1024 * 1024  # bytes of a setting or a text
PATIENCE = 600  # seconds for others who hold the lock
SHORTEST_KEY = 16  # bytes


class MailingList:
    """The list in the directory `path`. Raises Permanent where there is none, Temporary where we cannot serve it."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        if not os.path.isdir(path):
            raise Permanent(path + b" is no directory of a list")
        if any(self.has(name) for name in (b"subdb", b"sql")):
            raise Temporary(path + b" keeps its subscribers in a database of another kind, which is not supported")
        self.suffix = b""  # of the local part, where commands are for the digest or another of its databases
        self._lines: dict[bytes, bytes] = {}

    @property
    def local(self) -> bytes:
        """The local part of the list's own address."""
        return self._needed(b"outlocal")

    @property
    def host(self) -> bytes:
        """The host of all its addresses."""
        return self._needed(b"outhost")

    @property
    def name(self) -> bytes:
        """The local part that commands are for."""
        return self.local + self.suffix

    @property
    def address(self) -> bytes:
        """The list's own address."""
        return self.local + b"@" + self.host

    @property
    def owner(self) -> bytes:
        """The address of those who look after it."""
        return self.local + b"-owner@" + self.host

    def file(self, name: bytes) -> bytes:
        """The path of one of its files; one that is a path already stays."""
        return name if name.startswith(b"/") else self.path + b"/" + name

    def has(self, name: bytes) -> bool:
        """Is there a file of this name? Most settings are files that are there or not."""
        try:
            os.stat(self.file(name))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self.unreadable(name, error) from error
        return True

    def text(self, name: bytes) -> bytes | None:
        """What a file says; None where there is none. Raises Temporary where it cannot be read."""
        try:
            with open(self.file(name), "rb", buffering=0) as file:
                text = file.read(LARGEST + 1) or b""
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.unreadable(name, error) from error
        if len(text) > LARGEST:
            raise Temporary(self.file(name) + b" is larger than 1 MiB")
        return text

    def line(self, name: bytes) -> bytes | None:
        """The first line of a file, without blanks around it; None where there is none."""
        text = self.text(name)
        return None if text is None else text.partition(b"\n")[0].strip()

    def lines(self, name: bytes) -> list[bytes]:
        """The lines of a file, without blanks around them, empty ones and comments."""
        stripped = (line.strip() for line in (self.text(name) or b"").split(b"\n"))
        return [line for line in stripped if line and not line.startswith(b"#")]

    def count(self, name: bytes) -> int:
        """The number that a file begins with; 0 where it is missing or begins with none."""
        from qmail.formats.listaddress import number

        return number(self.line(name) or b"")[0] or 0

    def key(self, database: bytes) -> bytes:
        """What the list's cookies are made with; another one for each of its databases. Raises Temporary."""
        key = self.text(b"key") or b""
        if len(key) < SHORTEST_KEY:
            raise Temporary(self.file(b"key") + b" is missing or too short to be a secret")
        return key + b"\0" + database

    def flags(self) -> bytes:
        """What the list has, as letters of ezmlm-make; for what it has not the capital ones."""
        has = {letter: self.has(name) for letter, name in BY_LETTER.items()}
        return b"".join(letter if there else letter.upper() for letter, there in has.items())

    def words(self, name: bytes, tags: dict[bytes, bytes]) -> bytes:
        """One of its texts, DIR/text/NAME or ours, ready to be sent."""
        text = self.text(b"text/" + name)
        if text is None:
            from qmail.formats.listtexts import TEXTS

            text = TEXTS.get(name.decode("latin-1"), "").encode()
        return filled(text, self.tags() | tags, self.flags() if b"<=" in text else b"")

    def tags(self) -> dict[bytes, bytes]:
        """What the tags of texts and headers stand for, as far as the list says it."""
        return {b"l": self.name, b"L": self.local, b"h": self.host, b"H": self.host, b"d": self.path}

    def mailing_list(self) -> bytes:
        """What the Mailing-List field says, which marks everything that comes from a list."""
        told = self.line(b"mailinglist")
        return told or b"contact %b-help@%b; run by ezmlm" % (self.local, self.host)

    def lock(self, name: bytes = b"lock") -> int:
        """Wait until nobody else works on the list; lasts until the descriptor is closed. Raises Temporary."""
        try:
            path = self.file(name)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if locks.exclusive(descriptor, PATIENCE):
                return descriptor
        except OSError as error:
            raise Temporary(b"unable to lock " + self.file(name) + b": " + reason(error)) from error
        raise Temporary(b"unable to lock " + self.file(name) + b": others hold it")

    def unreadable(self, name: bytes, error: OSError) -> Temporary:
        """What to raise for a file that is there and cannot be read."""
        return Temporary(b"unable to read " + self.file(name) + b": " + reason(error))

    def unwritable(self, name: bytes, error: OSError) -> Temporary:
        """What to raise for a file that cannot be written."""
        return Temporary(b"unable to write " + self.file(name) + b": " + reason(error))

    def _needed(self, name: bytes) -> bytes:
        if name not in self._lines:
            line = self.line(name)
            if not line:
                raise Permanent(self.file(name) + b" is missing or empty")
            self._lines[name] = line
        return self._lines[name]
