"""Who answers for a local part: users/cdb (qmail-users(5)), and the accounts of the system (qmail-getpw(8))."""

from __future__ import annotations

import errno
import os

from qmail.formats import cdb
from qmail.formats.usersassign import Account, Bad, look_up
from qmail.host import fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

BREAK = b"-"  # between a user's name and the extension
LONGEST_NAME = 31  # bytes of an account's name
LARGEST = 256 * 1024 * 1024  # bytes of a users/cdb
REMEMBERED = 4096  # answers

PASSING = frozenset(
    (
        errno.EINTR, errno.ENOMEM, errno.EIO, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENFILE, errno.EMFILE,
        errno.ENOBUFS, errno.ESTALE, errno.ENOLCK, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN,
        errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED,
    )
)  # fmt: skip


class Trouble(Exception):
    """The answer cannot be had now: a users/cdb that cannot be read, a home that does not answer, no user alias."""


class Unassigned(Trouble):
    """There is no user alias."""


class Assignments:
    """users/cdb of a home, read when it is first asked and again when another file stands there."""

    def __init__(self, home: Home) -> None:
        self._path = home.file(b"users/cdb")
        self._mark: tuple[int, int, int, int] | None = None
        self._data: bytes | None = None
        self._known: dict[bytes, Account | None] = {}

    def changed(self) -> bool:
        """Look at the file again; True where it is not the one that was read last. Raises Trouble."""
        try:
            if self._mark == _mark(os.stat(self._path)):
                return False
        except FileNotFoundError:
            if self._mark is None:
                return False
        except OSError as error:
            self._mark = None
            raise Trouble(str(error)) from error
        self._known.clear()
        self._mark = self._data = None
        self._read()
        return True

    def find(self, local: bytes) -> Account | None:
        """Who answers for `local` by the file as last looked at; None where it does not say. Raises Trouble."""
        if self._data is None:
            return None
        if local not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            data = self._data
            try:
                self._known[local] = look_up(lambda key: cdb.find(data, key), local)
            except (Bad, cdb.Corrupt) as error:
                raise Trouble(str(error)) from error
        return self._known[local]

    def _read(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Trouble(str(error)) from error
        try:
            mark = _mark(os.fstat(descriptor))
            self._data = fds.read_all(descriptor, LARGEST)
        except OSError as error:
            raise Trouble(str(error)) from error
        finally:
            os.close(descriptor)
        if self._data is None:
            raise Trouble("users/cdb is larger than 256 MiB")
        self._mark = mark


def _mark(status: os.stat_result) -> tuple[int, int, int, int]:
    # What changes when another file is put there, or this one is written over.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def of_system(home: Home, local: bytes) -> Account:
    """The account that owns `local`, by the list of accounts: the longest name before a hyphen, else user alias.

    Not those with uid 0, without a home that is there and their own, or with a capital letter. In single-user
    mode only we ourselves, and the alias directory of the home is ours. Raises Trouble.
    """
    import pwd

    for end in range(len(local), -1, -1):
        if end > LONGEST_NAME or local[end : end + 1] not in (b"", BREAK):
            continue
        try:
            entry = pwd.getpwnam(os.fsdecode(local[:end].lower()))
        except (KeyError, ValueError):
            continue
        if entry.pw_uid and (not home.single or entry.pw_uid == os.geteuid()) and _owns(entry.pw_uid, entry.pw_dir):
            dash = local[end : end + 1]
            name, place = os.fsencode(entry.pw_name), os.fsencode(entry.pw_dir)
            return Account(name, entry.pw_uid, entry.pw_gid, place, dash and b"-", local[end + 1 :])
    return _alias(home, local)


def _owns(uid: int, home: str) -> bool:
    try:
        return os.stat(home).st_uid == uid
    except OSError as error:
        if error.errno in PASSING:
            raise Trouble(f"{home}: {error.strerror}") from error
        return False


def _alias(home: Home, local: bytes) -> Account:
    if home.single:
        return Account(b"alias", os.geteuid(), os.getegid(), home.file(b"alias"), b"-", local)
    import pwd

    try:
        entry = pwd.getpwnam("alias")
    except KeyError:
        raise Unassigned("there is no user alias") from None
    return Account(b"alias", entry.pw_uid, entry.pw_gid, os.fsencode(entry.pw_dir), b"-", local)
