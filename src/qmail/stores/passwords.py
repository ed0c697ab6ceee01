"""The file users/passwords (passwords(5)): who may log in with which password, and setting one.

    file = PasswordFile(home)
    login = file.check(name, password)      # a Login, or None; after the work of exactly one hash, always
    keys = file.keys(name)                  # for SCRAM: the login's, or such as nobody can prove

Both answer alike for names that are unknown, and the file is read again when it has changed. Whoever asks may
stay, but must be one who may read the file, which is its owner's alone.
"""

from __future__ import annotations

import hashlib
import os
import stat

from qmail.formats import passwordfile, passwordhash
from qmail.formats.passwordfile import Login
from qmail.host import durable, fds, locks
from qmail.stores import hashing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.formats.scram import Keys
    from qmail.stores.home import Home

NAME = b"users/passwords"
LARGEST = 64 * 1024 * 1024  # bytes
SEED = 32  # bytes
WAITING = 60  # seconds for another one who is setting a password
OTHERS = 0o022  # nobody else may write it


class Trouble(Exception):
    """No answer can be had now."""


class PasswordFile:
    """The logins of a home. All methods raise Trouble."""

    def __init__(self, home: Home) -> None:
        self.path = home.file(NAME)
        self._home = home
        self._mark: tuple[int, ...] | None = None
        self._logins: dict[bytes, Login] = {}
        self._examples: list[Login] = []
        self._seed = b""

    def find(self, name: bytes) -> Login | None:
        """The login of this name, without asking for a password."""
        self._read()
        return self._logins.get(name)

    def check(self, name: bytes, password: bytes) -> Login | None:
        """The login of this name, if this is its password."""
        self._read()
        example = self._example(name, self._examples)
        login = self._logins.get(name)
        known = login is not None and passwordhash.is_hash(login.hash)
        tried = login if login is not None and known else example
        try:
            agrees = hashing.agrees(tried.hash if tried else passwordhash.EXAMPLE, password)
        except hashing.Unable as error:
            raise Trouble(str(error)) from error
        return login if agrees and known and password else None

    def keys(self, name: bytes) -> Keys:
        """What SCRAM is to be done with for this name: for one that is unknown, always the same."""
        from qmail.formats import scram

        self._read()
        login = self._logins.get(name)
        if login is not None and passwordhash.is_hash(login.hash) and (found := scram.read(login.keys)):
            return found
        example = self._example(name, [each for each in self._examples if each.keys])
        like = scram.read(example.keys) if example else None
        salt, stored, server = (self._chance(purpose + name) for purpose in (b"salt ", b"stored ", b"server "))
        size = len(like.salt) if like else scram.SALT
        return scram.Keys(like.iterations if like else scram.ITERATIONS, salt[:size], stored, server)

    def set(self, login: Login, password: bytes) -> None:
        """Give a login this password: hash and keys are made anew, and everything else is as `login` says."""
        from qmail.formats import scram

        try:
            login.hash = hashing.fresh(password)
        except hashing.Unable as error:
            raise Trouble(str(error)) from error
        keys = scram.made(password, os.urandom(scram.SALT), scram.ITERATIONS)
        login.keys = keys.text() if keys else b""
        self._change(lambda text: passwordfile.with_login(text, login))

    def remove(self, name: bytes) -> None:
        """Take a login away."""
        self._change(lambda text: passwordfile.without(text, name))

    def _example(self, name: bytes, examples: list[Login]) -> Login | None:
        """A login that a name without one is like: for the same name always the same one."""
        return examples[int.from_bytes(self._chance(b"like " + name)[:8]) % len(examples)] if examples else None

    def _chance(self, text: bytes) -> bytes:
        return hashlib.blake2b(text, key=self._seed, digest_size=32).digest()

    def _read(self) -> None:
        """Look at the file again."""
        try:
            status = os.stat(self.path)
            if self._mark == (mark := (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)):
                return
            text = self._text()
        except OSError as error:
            self._mark = None
            raise Trouble(f"{os.fsdecode(self.path)}: {error.strerror}") from error
        self._logins = passwordfile.logins(text)
        self._examples = [login for login in self._logins.values() if passwordhash.is_hash(login.hash)]
        self._seed = passwordfile.seed(text)[:64] or hashlib.blake2b(text).digest()
        self._mark = mark

    def _text(self) -> bytes:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if status.st_mode & OTHERS or not stat.S_ISREG(status.st_mode):
                raise Trouble(f"{os.fsdecode(self.path)} is no file that its owner alone may write")
            text = fds.read_all(descriptor, LARGEST)
        finally:
            os.close(descriptor)
        if text is None:
            raise Trouble(f"{os.fsdecode(self.path)} is larger than 64 MiB")
        return text

    def _first_owner(self) -> tuple[int, int]:
        # qmail-authd reads it, as qmailp; checkpwfile runs as root.
        if os.geteuid() or self._home.single:
            return os.geteuid(), os.getegid()
        return self._home.account(b"qmailp")

    def _change(self, change: Callable[[bytes], bytes]) -> None:
        """Replace the file, which keeps its owner, while nobody else does."""
        try:
            lock = os.open(self.path + b".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if not locks.exclusive(lock, WAITING):
                    raise Trouble("somebody else is changing the file")
                try:
                    owner, text = os.stat(self.path), self._text()
                except FileNotFoundError:
                    owner, text = None, passwordfile.first(os.urandom(SEED))

                def write(descriptor: int) -> None:
                    uid, gid = (owner.st_uid, owner.st_gid) if owner is not None else self._first_owner()
                    if uid != os.geteuid():
                        os.fchown(descriptor, uid, gid)
                    fds.write_all(descriptor, change(text))

                durable.replace_with(self.path, self.path + b".tmp", write, 0o600)
            finally:
                os.close(lock)
        except OSError as error:
            raise Trouble(f"unable to write {os.fsdecode(self.path)}: {error.strerror}") from error
