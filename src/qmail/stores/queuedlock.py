"""qq/lock: which qmail-queued runs. It holds the lock, and says in the file who it is and of which version."""

from __future__ import annotations

import os

import qmail
from qmail.host import clock, locks, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

PATIENCE = 15.0  # seconds for one of another version to end what it has under way


def take(home: Home, *, replace: bool) -> int | None:
    """Become the one that runs: the descriptor that holds the lock, or None where another one runs. Raises OSError.

    `replace`: one of another version is asked to end first.
    """
    path = home.file(b"qq/lock")
    lock = locks.take(path, 0o644)
    if lock is None and replace:
        pid, version = _told(path)
        if pid and version != _version():
            os.kill(pid, signals.TERM)
            end = clock.monotonic() + PATIENCE
            while lock is None and clock.monotonic() < end:
                clock.sleep(0.02)
                lock = locks.take(path, 0o644)
    if lock is not None:
        os.ftruncate(lock, 0)
        os.write(lock, b"%d %b\n" % (os.getpid(), _version()))
    return lock


def _told(path: bytes) -> tuple[int, bytes]:
    with open(path, "rb", buffering=0) as file:
        pid, _, version = file.read(200).strip().partition(b" ")
    return (int(pid), version) if pid.isdigit() and version else (0, b"")


def _version() -> bytes:
    # An installation over another one of the same version has newer files.
    return b"%b.%d" % (qmail.__version__.encode(), os.stat(qmail.__file__).st_mtime)
