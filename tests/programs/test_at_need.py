"""Resident programs that qmail-rspawn starts at the first knock (services.at_need)."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from conftest import BIN
from qmail.host import localsocket, locks
from qmail.host.localsocket import PACKETS
from qmail.host.loop import Loop
from qmail.services.at_need import AtNeed, doors
from qmail.stores import tlscounts
from qmail.stores.home import Home


def serve(loop: Loop, door: AtNeed, seconds: float) -> None:
    """What qmail-rspawn does, for at most so long."""
    if door.rest() == 0:
        door.attend()
    loop.round(min(seconds, door.rest() or seconds))


def runs(where: Home) -> bool:
    lock = locks.take(where.file(tlscounts.LOCK))
    if lock is not None:
        os.close(lock)
    return lock is None


def test_who_knocked_while_there_was_no_descriptor_is_let_in_later(home: Path) -> None:
    where, loop = Home(os.fsencode(home)), Loop()
    door = doors(where, {b"PATH": os.fsencode(f"{BIN}:/usr/bin:/bin")}, loop)[2]
    door.attend()
    client = localsocket.connect(where.file(tlscounts.SOCKET), PACKETS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    try:
        while True:
            taken.append(os.dup(client))
    except OSError:
        loop.round(30)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)
    until = time.monotonic() + 15
    while not runs(where) and time.monotonic() < until:
        serve(loop, door, 0.1)
    assert runs(where)
    door.end()
    while runs(where) and time.monotonic() < until + 15:
        serve(loop, door, 0.1)
    assert not runs(where)
    os.close(client)
