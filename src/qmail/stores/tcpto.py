"""queue/lock/tcpto: which hosts lately timed out, shared by all deliveries and with the C programs.

The table only saves time. Where it cannot be had (missing, locked for long, not ours), deliveries go
on without it.
"""

from __future__ import annotations

import fcntl
import os
import time

from qmail.formats import tcpto

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.formats.tcpto import Record
    from qmail.stores.home import Home

_TRIES = 20  # for the lock, 50 ms apart


class Timeouts:
    """The table of one home. Addresses are packed (4 or 16 bytes)."""

    def __init__(self, home: Home) -> None:
        self._path = home.file(b"queue/lock/tcpto")
        # Processes do not all come back to a dead host in the same minute.
        self._patience = 60 + (os.getpid() & 31) << 6

    def forget(self) -> None:
        """Forget everything, as each start of the spawner does."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if _lock(descriptor):
                clear(descriptor)
        except OSError:
            pass
        finally:
            os.close(descriptor)

    def is_shunned(self, address: bytes) -> bool:
        """Should this host be left alone for now?"""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            table = _locked(descriptor)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return table is not None and tcpto.is_shunned(table, address, int(time.time()), self._patience)

    def connected(self, address: bytes) -> None:
        """This host answers."""
        self._change(lambda table: tcpto.connected(table, address))

    def timed_out(self, address: bytes) -> None:
        """This host did not answer in time."""
        self._change(lambda table: tcpto.timed_out(table, address, int(time.time())))

    def _change(self, change: Callable[[bytes], Record | None]) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        try:
            table = _locked(descriptor)
            record = change(table) if table else None
            if record is not None:
                os.pwrite(descriptor, record.packed(), record.offset)
        except OSError:
            pass
        finally:
            os.close(descriptor)


def clear(descriptor: int) -> None:
    """Forget everything in the file that is open for writing here, under its lock. Raises OSError."""
    os.pwrite(descriptor, bytes(tcpto.OLD_SIZE), 0)
    os.ftruncate(descriptor, tcpto.OLD_SIZE)


def _locked(descriptor: int) -> bytes | None:
    """The table, under our lock; None where it cannot be had."""
    return os.pread(descriptor, tcpto.SIZE, 0) if _lock(descriptor) else None


def _lock(descriptor: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False
