"""Exclusive locks on files (flock(2)), the kind that qmail's programs keep others out with."""

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
