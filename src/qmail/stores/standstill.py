"""A home in which no mail is being sent: qmail-send kept out for as long as somebody works on its files."""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary
from qmail.host import clock, locks
from qmail.host.reasons import reason
from qmail.stores import queuedlock, servicedir
from qmail.stores.installation import create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.stores.home import Home

PATIENCE = 900.0  # seconds; qmail-send ends when its last delivery has
MUTEX = b"queue/lock/sendmutex"


def hold(home: Home, services: Sequence[bytes] = (), *, queued: bool = False) -> list[int]:
    """Keep qmail-send out, and with `queued` qmail-queued, until the descriptors returned are closed.

    `services`: service directories that are told to go down first. Raises Temporary where one runs, and where
    it does not end in time.
    """
    end = clock.monotonic() + (PATIENCE if services else 0)
    for service in services:
        _tell(service, b"d")
    if not os.path.lexists(home.file(MUTEX)):
        create(home.path, {MUTEX})
    held = []
    try:
        while (lock := locks.take(home.file(MUTEX))) is None:
            _wait(end, b"qmail-send is running; stop it, or name its service directory with --stop")
        held.append(lock)
        while queued and os.path.isdir(home.file(b"qq")):
            lock = queuedlock.take(home, stand_in=False)
            if lock is not None:
                held.append(lock)
                break
            _wait(end, b"qmail-queued is running; stop it, or name its service directory with --stop")
    except OSError as error:
        raise Temporary(
            b"unable to lock " + os.fsencode(error.filename or home.path) + b": " + reason(error)
        ) from error
    return held


def is_there(home: Home) -> bool:
    """Does no qmail-send run, and nobody else who keeps it out? Raises OSError where that cannot be asked."""
    lock = locks.take(home.file(MUTEX)) if os.path.isfile(home.file(MUTEX)) else None
    if lock is None:
        return not os.path.lexists(home.file(MUTEX))
    os.close(lock)
    return True


def start(services: Sequence[bytes]) -> None:
    """Let these service directories come up again. Raises Temporary."""
    for service in services:
        _tell(service, b"u")


def _tell(service: bytes, letter: bytes) -> None:
    try:
        servicedir.send(letter, service)
    except OSError as error:
        raise Temporary(b"unable to tell " + service + b": " + reason(error)) from error


def _wait(end: float, otherwise: bytes) -> None:
    if clock.monotonic() >= end:
        raise Temporary(otherwise)
    clock.sleep(0.05)
