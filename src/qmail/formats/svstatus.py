"""The 18 bytes of supervise/status, and what svstat makes of them.

Bytes 0-11: TAI64N label of the last start or stop. 12-15: pid, little-endian, 0 when down. 16: paused.
17: what is wanted, `u` up, `d` down, NUL neither (run once).
"""

from __future__ import annotations

from qmail.formats import tai64n

SIZE = 18

UP = b"u"
DOWN = b"d"
ONCE = b"\0"


class Status:
    """One service at one moment. `since`: nanoseconds since 1970 UTC of the last start or stop."""

    __slots__ = ("paused", "pid", "since", "wanted")

    def __init__(self, since: int, pid: int, paused: bool, wanted: bytes) -> None:
        self.since, self.pid, self.paused, self.wanted = since, pid, paused, wanted


def encode(status: Status) -> bytes:
    """The 18 bytes."""
    return tai64n.pack(status.since) + status.pid.to_bytes(4, "little") + bytes([status.paused]) + status.wanted


def decode(data: bytes) -> Status | None:
    """The first 18 bytes as a value; None where there are fewer."""
    if len(data) < SIZE:
        return None
    seconds, nanoseconds = tai64n.unpack(data)
    pid = int.from_bytes(data[12:16], "little")
    return Status(seconds * 1_000_000_000 + nanoseconds, pid, data[16] != 0, data[17:18])


def describe(status: Status, now: int, normally_up: bool) -> bytes:
    """What svstat prints behind `DIRECTORY: `. `now`: nanoseconds since 1970. A time to come is 0 seconds."""
    seconds = max(now // 1_000_000_000 - status.since // 1_000_000_000, 0)
    text = b"up (pid %d) " % status.pid if status.pid else b"down "
    return text + b"%d seconds" % seconds + remarks(status, normally_up)


def remarks(status: Status, normally_up: bool) -> bytes:
    """What is not as it usually is: `, normally down, paused, want down`."""
    text = b""
    if status.pid:
        text += b"" if normally_up else b", normally down"
        text += b", paused" if status.paused else b""
        text += b", want down" if status.wanted == DOWN else b""
    else:
        text += b", normally up" if normally_up else b""
        text += b", want up" if status.wanted == UP else b""
    return text


def describe_for_people(status: Status, now: int, normally_up: bool) -> bytes:
    """The same with the time in days, hours, minutes: `up 3 days 4 hours, pid 77, normally down`."""
    seconds = max(now // 1_000_000_000 - status.since // 1_000_000_000, 0)
    state = b"up " if status.pid else b"down "
    pid = b", pid %d" % status.pid if status.pid else b""
    return state + duration(seconds) + pid + remarks(status, normally_up)


def duration(seconds: int) -> bytes:
    """The two largest units: `4 minutes 10 seconds`, `1 day 1 hour`, `0 seconds`."""
    parts = []
    for size, unit in ((86400, b"day"), (3600, b"hour"), (60, b"minute"), (1, b"second")):
        count, seconds = divmod(seconds, size)
        parts.append((count, unit))
    first = next((i for i, (count, _) in enumerate(parts) if count), 3)
    shown = [(count, unit) for count, unit in parts[first : first + 2] if count] or [parts[3]]
    return b" ".join(b"%d %b%b" % (count, unit, b"" if count == 1 else b"s") for count, unit in shown)
