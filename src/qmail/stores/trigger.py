"""lock/trigger: the fifo that wakes qmail-send (INTERNALS). Whoever accepts pulls it, qmail-send waits on it."""

from __future__ import annotations

import os
import stat


def pull(root: bytes) -> bool:
    """Wake the qmail-send of the queue at `root`. Never waits; False where nobody listens, which is no error."""
    try:
        descriptor = os.open(root + b"/lock/trigger", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        os.write(descriptor, b"\0")
    except OSError:
        pass  # full: it is pulled already
    finally:
        os.close(descriptor)
    return True


def listen(root: bytes) -> int | None:
    """A non-blocking descriptor that becomes readable when the trigger is pulled, or None where there is no fifo.

    Opened for writing too: so it never reads as ended, whoever comes and goes.
    """
    try:
        descriptor = os.open(root + b"/lock/trigger", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def release(descriptor: int) -> None:
    """Take note of every pull so far."""
    try:
        os.read(descriptor, 4096)
    except BlockingIOError:
        pass
