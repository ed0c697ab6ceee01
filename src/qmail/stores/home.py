"""The home of the system: where it is, who owns which part, and whether one ordinary user owns it all.

The home of a program is QMAIL_HOME, else the parent of the `bin/` it was started from (or that the link
leads to by which it was) if that has a `control/`, else /var/qmail. Single-user mode is recognised by the
owner of `queue/`: it is us, and we are not root.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = b"/var/qmail"


class Home:
    """One installation. Paths are bytes without a slash at the end."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._single: bool | None = None

    def file(self, name: bytes) -> bytes:
        """The path of `name`, such as `control/me`, inside the home."""
        return self.path + b"/" + name

    def program(self, name: bytes) -> bytes:
        """The path of one of our programs."""
        return self.path + b"/bin/" + name

    @property
    def queue(self) -> bytes:
        """The queue directory."""
        return self.path + b"/queue"

    @property
    def single(self) -> bool:
        """Does one ordinary user, we, own the whole system? Raises Temporary where queue/ cannot be seen."""
        if self._single is None:
            uid = os.geteuid()
            try:
                self._single = uid != 0 and os.stat(self.queue).st_uid == uid and not _is_qmailq(uid)
            except OSError as error:
                reason = os.fsencode(error.strerror or "?")
                raise Temporary(b"unable to see " + self.queue + b": " + reason) from error
        return self._single

    def account(self, name: bytes) -> tuple[int, int]:
        """(uid, gid) of one of the qmail users; our own in single-user mode. Raises Temporary where it is missing."""
        if self.single:
            return os.geteuid(), os.getegid()
        import pwd

        try:
            entry = pwd.getpwnam(name.decode())
        except KeyError:
            raise Temporary(b"there is no user " + name + b"; 'make setup' needs the qmail users") from None
        return entry.pw_uid, entry.pw_gid


def find(argv0: bytes, environ: Mapping[bytes, bytes]) -> Home:
    """The home of the program started as `argv0`."""
    if told := environ.get(b"QMAIL_HOME"):
        return Home(told.rstrip(b"/") or b"/")
    if b"/" in argv0:
        # Under its own name first, then where a link to it (/usr/sbin/sendmail) leads.
        for path in (os.path.abspath, os.path.realpath):
            directory = os.path.dirname(path(argv0))
            parent = os.path.dirname(directory)
            if os.path.basename(directory) == b"bin" and os.path.isdir(parent + b"/control"):
                return Home(parent)
    return Home(DEFAULT)


def is_own(path: bytes, name: bytes) -> bool:
    """Is the file at `path` our own launcher of program `name`, and no replacement or wrapper?"""
    try:
        with open(path, "rb", buffering=0) as file:
            text = file.read(512)
    except OSError:
        return False
    return text.startswith(b"#!") and b"\n# pyqmail " + name + b"\n" in text


class Launcher:
    """Watches whether a program of the home is our own launcher, so that a replacement counts from when it is there."""

    def __init__(self, home: Home, name: bytes) -> None:
        self._path, self._name = home.program(name), name
        self._mark: tuple[int, int, int, int] | None = None
        self._own = False

    def is_own(self) -> bool:
        """Is it our own, now?"""
        try:
            status = os.stat(self._path)
        except OSError:
            return False
        mark = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if mark != self._mark:
            self._mark, self._own = mark, is_own(self._path, self._name)
        return self._own


def _is_qmailq(uid: int) -> bool:
    # In a real installation queue/ belongs to qmailq, and its programs own it without owning the rest.
    import pwd

    try:
        return pwd.getpwnam("qmailq").pw_uid == uid
    except KeyError:
        return False
