"""supervise/ inside a service directory: lock, control, ok, status (supervise(8), svc(8)).

Paths are relative to the service directory, which is the working directory, or `directory` where a
function takes one.
"""

from __future__ import annotations

import errno
import os
import stat

from qmail.formats import svstatus
from qmail.host import durable, fds, locks

LOCK = b"supervise/lock"
CONTROL = b"supervise/control"
OK = b"supervise/ok"
STATUS = b"supervise/status"
NEW_STATUS = b"supervise/status.new"


def make() -> None:
    """Make supervise/; where it is a link to nowhere, make what it points to."""
    try:
        os.mkdir(b"supervise", 0o700)
    except OSError:
        try:
            os.mkdir(os.readlink(b"supervise"), 0o700)
        except OSError:
            pass  # it is there, or the lock will say what is wrong


def lock() -> int:
    """Take this directory for one supervise. Raises OSError: EAGAIN where another one has it."""
    return locks.demand(LOCK)


def open_fifo(path: bytes, *, writing: bool) -> int:
    """Open a fifo without waiting. Raises OSError: ENXIO where nobody reads it, 0 where it is none."""
    flags = (os.O_WRONLY if writing else os.O_RDONLY) | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not a fifo")
    return descriptor


def make_fifo(path: bytes) -> None:
    """Make a fifo, mode 600, where there is none. Never fails: opening it will tell."""
    try:
        os.mkfifo(path, 0o600)
    except OSError:
        pass


def write_status(status: svstatus.Status) -> None:
    """Replace supervise/status at once. Raises OSError, without a file name where writing failed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(NEW_STATUS, flags, 0o644)
    try:
        fds.write_all(descriptor, svstatus.encode(status))
    finally:
        os.close(descriptor)
    durable.rename(NEW_STATUS, STATUS)


def supervised(directory: bytes = b".") -> bool:
    """Does a supervise run here? Raises OSError where that cannot be told."""
    try:
        os.close(open_fifo(directory + b"/" + OK, writing=True))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    return True


def send(letters: bytes, directory: bytes = b".") -> None:
    """Write command letters to supervise. Raises OSError: ENXIO where none runs, EAGAIN where it does not read."""
    descriptor = open_fifo(directory + b"/" + CONTROL, writing=True)
    try:
        fds.write_all(descriptor, letters)
    finally:
        os.close(descriptor)


def status(directory: bytes = b".") -> svstatus.Status | None:
    """What supervise last wrote; None where it is no status. Raises OSError."""
    descriptor = os.open(directory + b"/" + STATUS, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return svstatus.decode(os.read(descriptor, svstatus.SIZE))
    finally:
        os.close(descriptor)


def normally_up(directory: bytes = b".") -> bool:
    """Is there no file `down`? Raises OSError."""
    try:
        os.stat(directory + b"/down")
    except FileNotFoundError:
        return True
    return False
