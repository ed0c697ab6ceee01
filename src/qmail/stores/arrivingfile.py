"""The files that a message comes into, new ones and those that have served another one."""

from __future__ import annotations

import os

from qmail.host import durable, fds


class File:
    """One that a message comes into: open for writing, with `old` bytes of an earlier one in it."""

    __slots__ = ("descriptor", "device", "inode", "old", "path")

    def __init__(self, path: bytes, mode: int = 0o644) -> None:
        """Make it. Raises OSError, FileExistsError where the name is taken."""
        self.path, self.old = path, 0
        self.descriptor = durable.create(path, mode)
        try:
            status = os.fstat(self.descriptor)
        except OSError:
            self.remove()
            raise
        self.inode, self.device = status.st_ino, status.st_dev

    def names(self) -> int:
        """How many it has. Raises OSError where that cannot be told, FileNotFoundError where there is none."""
        status = os.fstat(self.descriptor)
        if not status.st_nlink:
            raise FileNotFoundError
        self.old = status.st_size
        return status.st_nlink

    def begin_again(self) -> None:
        """What is written next comes in place of what is there."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def cut(self, size: int) -> None:
        """So many bytes were written: nothing old may stand behind them. Raises OSError."""
        if size < self.old:
            durable.cut(self.descriptor, size)

    def remove(self) -> None:
        """Take its name away, where that can be, and let go of it."""
        take_back([self.path])
        self.close()

    def close(self) -> None:
        """Let go of it."""
        fds.let_go(self.descriptor)


def take_back(names: list[bytes]) -> None:
    """Remove these, the last one first."""
    for name in reversed(names):
        try:
            durable.remove(name)
        except OSError:
            pass


def is_there(path: bytes) -> bool:
    """Raises OSError where that cannot be told."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True
