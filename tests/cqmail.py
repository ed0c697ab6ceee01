"""A home of C qmail: stand-ins for its programs, a configuration, a queue in its format."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import time
from pathlib import Path

SPLIT = 23
PROGRAMS = {
    "qmail-queue": ("qmailq", "qmail", 0o4711), "qmail-lspawn": ("root", "qmail", 0o700),
    "qmail-start": ("root", "qmail", 0o700), "qmail-getpw": ("root", "qmail", 0o711),
    "qmail-local": ("root", "qmail", 0o711), "qmail-remote": ("root", "qmail", 0o711),
    "qmail-rspawn": ("root", "qmail", 0o711), "qmail-clean": ("root", "qmail", 0o711),
    "qmail-send": ("root", "qmail", 0o711), "qmail-inject": ("root", "qmail", 0o755),
    "qmail-smtpd": ("root", "qmail", 0o755), "sendmail": ("root", "qmail", 0o755),
    "qmail-newu": ("root", "qmail", 0o700),
}  # fmt: skip
DIRECTORIES = {
    "": ("root", "qmail", 0o755), "bin": ("root", "qmail", 0o755), "control": ("root", "qmail", 0o755),
    "users": ("root", "qmail", 0o755), "boot": ("root", "qmail", 0o755), "man": ("root", "qmail", 0o755),
    "alias": ("alias", "qmail", 0o2755), "queue": ("qmailq", "qmail", 0o750), "queue/pid": ("qmailq", "qmail", 0o700),
    "queue/intd": ("qmailq", "qmail", 0o700), "queue/todo": ("qmailq", "qmail", 0o750),
    "queue/bounce": ("qmails", "qmail", 0o700), "queue/lock": ("qmailq", "qmail", 0o750),
}  # fmt: skip
KINDS = {"mess": ("qmailq", 0o750), "info": ("qmails", 0o700), "local": ("qmails", 0o700), "remote": ("qmails", 0o700)}


def give(path: Path, owner: str, group: str, mode: int) -> None:
    """Owner first: changing it takes set-id bits away."""
    os.chown(path, pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid)
    path.chmod(mode)


def make(home: Path, split: int = SPLIT) -> Path:
    """An installation of C qmail with an empty queue."""
    for name, (owner, group, mode) in DIRECTORIES.items():
        (home / name).mkdir()
        give(home / name, owner, group, mode)
    for kind, (owner, mode) in KINDS.items():
        for part in ("", *map(str, range(split))):
            (home / "queue" / kind / part).mkdir()
            give(home / "queue" / kind / part, owner, "qmail", mode)
    lock = home / "queue/lock"
    (lock / "sendmutex").write_bytes(b"")
    (lock / "tcpto").write_bytes(bytes(1024))
    os.mkfifo(lock / "trigger")
    give(lock / "sendmutex", "qmails", "qmail", 0o600)
    give(lock / "tcpto", "qmailr", "qmail", 0o644)
    give(lock / "trigger", "qmails", "qmail", 0o622)
    for name, (owner, group, mode) in PROGRAMS.items():
        shutil.copyfile("/bin/true", home / "bin" / name)
        give(home / "bin" / name, owner, group, mode)
    for name, text in {"me": "here.example", "locals": "here.example", "rcpthosts": "here.example"}.items():
        (home / "control" / name).write_text(text + "\n")
    return home


class Queue:
    """Puts messages into a queue as the C programs leave them."""

    def __init__(self, home: Path, split: int = SPLIT) -> None:
        self.root, self.split = home / "queue", split
        self.qmailq, self.qmails = pwd.getpwnam("qmailq").pw_uid, pwd.getpwnam("qmails").pw_uid
        self.group = grp.getgrnam("qmail").gr_gid

    def path(self, kind: str, number: int) -> Path:
        """Where the file of a message is."""
        parts = [str(number % self.split)] if kind in KINDS else []
        return self.root.joinpath(kind, *parts, str(number))

    def file(self, kind: str, number: int, text: bytes, *, age: float = 0) -> Path:
        """Write one file, with its owner, and as old as told."""
        path = self.path(kind, number)
        path.write_bytes(text)
        self.dress(path, kind, age)
        return path

    def dress(self, path: Path, kind: str, age: float = 0) -> None:
        """Owner, mode and time of a file."""
        sending = kind in ("info", "local", "remote", "bounce")
        os.chown(path, self.qmails if sending else self.qmailq, self.group)
        path.chmod(0o600 if sending else 0o644)
        when = time.time() - age
        os.utime(path, (when, when))

    def arriving(self, text: bytes, *, age: float = 0) -> int:
        """State S2: a message file whose name is its inode, as qmail-queue makes it."""
        temporary = self.root / "pid" / f"{os.getpid()}.{time.time_ns()}.1"
        temporary.write_bytes(text)
        number = temporary.stat().st_ino
        os.link(temporary, self.path("mess", number))
        temporary.unlink()
        self.dress(self.path("mess", number), "mess", age)
        return number

    def envelope(self, sender: bytes, recipients: list[bytes]) -> bytes:
        """What todo/N and intd/N hold."""
        return b"u0\0p123\0F" + sender + b"\0" + b"".join(b"T" + each + b"\0" for each in recipients)

    def intended(self, text: bytes, sender: bytes, recipients: list[bytes], *, age: float = 0) -> int:
        """State S3."""
        number = self.arriving(text, age=age)
        self.file("intd", number, self.envelope(sender, recipients), age=age)
        return number

    def waiting(self, text: bytes, sender: bytes, recipients: list[bytes]) -> int:
        """State S4."""
        number = self.intended(text, sender, recipients)
        os.link(self.path("intd", number), self.path("todo", number))
        return number

    def queued(self, text: bytes, sender: bytes, local: list[bytes], remote: list[bytes] | None = None) -> int:
        """State S5: records with their letter, `TUSER@HOST` or `DUSER@HOST`."""
        number = self.arriving(text)
        self.file("info", number, b"F" + sender + b"\0", age=600)
        for kind, records in (("local", local), ("remote", remote or [])):
            if records:
                self.file(kind, number, b"".join(record + b"\0" for record in records), age=60)
        return number


def picture(home: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Every name below a home: mode, uid, gid, bytes. Nothing is any younger for having been looked at."""
    found = {}
    for path in sorted([home, *home.rglob("*")]):
        status = path.lstat()
        text = os.readlink(path).encode() if path.is_symlink() else b""
        if stat.S_ISREG(status.st_mode):
            text = path.read_bytes()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        found[str(path.relative_to(home))] = (status.st_mode, status.st_uid, status.st_gid, text)
    return found
