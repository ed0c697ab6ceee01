"""The list of who is logged in: records of 384 bytes, as Linux writes them (utmp(5))."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORD = Struct("<h2xi32s4s32s256s52x")  # type, pid, line, id, user, host; times and addresses
SIZE = _RECORD.size
USER_PROCESS = 7


def lines(data: bytes, user: bytes) -> Iterator[bytes]:
    """The terminals, such as `pts/0`, on which this user is logged in. A record cut short ends the list."""
    for at in range(0, len(data) - SIZE + 1, SIZE):
        kind, _pid, line, _id, name, _host = _RECORD.unpack_from(data, at)
        if kind == USER_PROCESS and name.rstrip(b"\0") == user and user:
            yield line.partition(b"\0")[0]
