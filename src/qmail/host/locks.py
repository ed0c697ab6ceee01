"""Exclusive locks on files (flock(2)), the kind that qmail's programs keep others out with; and who has a file open."""

from __future__ import annotations

import errno
import fcntl
import os

from qmail.host import signals


def take(path: bytes, mode: int = 0o600) -> int | None:
    """A descriptor that holds the lock on the file at `path`, made where missing; None where another one holds it.

    Raises OSError. The lock lasts until the descriptor is closed, and is not handed on to programs.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def demand(path: bytes) -> int:
    """The same, and a lock held by another one is BlockingIOError."""
    descriptor = take(path)
    if descriptor is None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
    return descriptor


def exclusive(descriptor: int, seconds: int) -> bool:
    """Lock an open file, waiting at most so many seconds for whoever holds it; False when they are over.

    Raises OSError where the file cannot be locked at all. Uses this process's alarm while it waits.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        pass
    try:
        with signals.Deadline(seconds):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except TimeoutError:
        return False
    return True


def opened_by_nobody_else(descriptor: int) -> bool:
    """Is this, one of a file of our own, the only open description of it? False where the system cannot tell.

    A lease (fcntl(2), F_SETLEASE) is given for writing only then; who opens the file later is not noticed, and SIGIO
    may come of it, which is to be ignored.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True
