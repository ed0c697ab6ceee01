"""The compiled rules of tcpserver: a cdb that tcprules replaces by rename while the server runs.

The file is opened anew for every client, so that a new one counts at once; one that has not changed
(device, inode, size, both times) is not read again.
"""

from __future__ import annotations

import errno
import os

from qmail.formats import cdb, tcprules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 1 << 28  # bytes of one file; a larger one is unreadable
REMEMBERED = 4096  # decisions kept for one state of the file


class RulesFile:
    """The rules at one path."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._state: tuple[int, ...] = ()
        self._data = b""
        self._decisions: dict[tuple[bytes, bytes | None, bytes | None], tcprules.Decision] = {}

    def decide(self, address: bytes, host: bytes | None, info: bytes | None) -> tcprules.Decision:
        """What the rules say now. Raises OSError: missing, unreadable, EPROTO where it is no cdb."""
        self._read()
        client = (address, host, info)
        decision = self._decisions.get(client)
        if decision is None:
            try:
                decision = tcprules.decide(self._find, address, host, info)
            except cdb.Corrupt as error:
                raise OSError(errno.EPROTO, "not a cdb, or cut short") from error
            if len(self._decisions) >= REMEMBERED:
                self._decisions.clear()
            self._decisions[client] = decision
        return decision

    def lengths(self) -> bytes:
        """The record that says which IPv6 prefix lengths the file has."""
        return self._find(tcprules.LENGTHS) or b""

    def keys(self) -> Iterator[bytes]:
        """Every key, in the order of the file. Raises OSError as `decide` does."""
        self._read()
        try:
            for key, _ in cdb.records(self._data):
                yield key
        except cdb.Corrupt as error:
            raise OSError(errno.EPROTO, "not a cdb, or cut short") from error

    def _find(self, key: bytes) -> bytes | None:
        return cdb.find(self._data, key)

    def _read(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            now = os.fstat(descriptor)
            state = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
            if state == self._state:
                return
            self._state = ()
            self._decisions.clear()
            if now.st_size > LARGEST:
                raise OSError(errno.EFBIG, "too large")
            pieces = []
            while piece := os.read(descriptor, 1 << 20):
                pieces.append(piece)
            self._data = b"".join(pieces)
            if not self._data:
                raise OSError(errno.EINVAL, "empty")
            self._state = state
        finally:
            os.close(descriptor)
