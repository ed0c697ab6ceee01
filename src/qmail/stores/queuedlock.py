"""qq/lock: which qmail-queued runs. It holds the lock, and says in the file who it is and of which version.

pid, version, and `stand-in` where qmail-start began it for want of a service
"""

from __future__ import annotations

import os

import qmail
from qmail.host import clock, locks, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

PATIENCE = 15.0  # seconds for one of another version to end what it has under way


def take(home: Home, *, stand_in: bool) -> int | None:
    """Become the one that runs: the descriptor that holds the lock, or None where another one runs. Raises OSError.

    A stand-in asks one of another version to end first, and everybody else a stand-in, and the next one too if there
    is one that was quicker.
    """
    path = home.file(b"qq/lock")
    lock = locks.take(path, 0o644)
    asked, end = 0, clock.monotonic() + PATIENCE
    while lock is None and clock.monotonic() < end:
        pid, version, other_stands_in = _told(path)
        if pid:
            if not (version != _version() if stand_in else other_stands_in):
                return None
            if pid != asked:
                _ask(pid)
                asked = pid
        clock.sleep(0.02)  # also where it has not said yet who it is
        lock = locks.take(path, 0o644)
    if lock is not None:
        os.ftruncate(lock, 0)
        os.write(lock, b"%d %b%b\n" % (os.getpid(), _version(), b" stand-in" if stand_in else b""))
    return lock


def _ask(pid: int) -> None:
    try:
        os.kill(pid, signals.TERM)
    except ProcessLookupError:
        pass  # it is gone, and who holds the lock now has not said so yet


def _told(path: bytes) -> tuple[int, bytes, bool]:
    with open(path, "rb", buffering=0) as file:
        words = file.read(200).split()
    if len(words) < 2 or not words[0].isdigit():
        return 0, b"", False
    return int(words[0]), words[1], words[2:] == [b"stand-in"]


def _version() -> bytes:
    # An installation over another one of the same version has newer files.
    return b"%b.%d" % (qmail.__version__.encode(), os.stat(qmail.__file__).st_mtime)
