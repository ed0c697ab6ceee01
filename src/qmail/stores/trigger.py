"""lock/trigger: the fifo that wakes qmail-send (INTERNALS). Whoever accepts pulls it, qmail-send waits on it."""

from __future__ import annotations

import os


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
