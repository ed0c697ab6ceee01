"""The compiled rules of tcpserver: a cdb that tcprules replaces by rename while the server runs.

The file is opened anew for every client, so that a new one counts at once; one that has not changed
(device, inode, size, both times) is not read again.
"""

from __future__ import annotations

import errno
import os
from itertools import islice

from qmail.formats import cdb, tcprules

LARGEST = 1 << 28  # bytes of one file; a larger one is unreadable
LOOKED_AT = 100_000  # records looked at for rules that never apply
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

    def dead(self, asks_host: bool, asks_info: bool) -> list[bytes]:
        """What is to be said of rules that can never apply, since host names or users are not asked for."""
        try:
            self._read()
            keys = [key for key, _ in islice(cdb.records(self._data), LOOKED_AT)]
        except (OSError, cdb.Corrupt):
            return []  # it will be said at each connection
        found = []
        hosts = [key for key in keys if key.startswith(b"=") or b"@=" in key]
        if hosts and not asks_host:
            found.append(self.path + b": rules for host names never apply with -H: " + _some(hosts))
        users = [key for key in keys if b"@" in key]
        if users and not asks_info:
            found.append(self.path + b": rules for users never apply without -r: " + _some(users))
        return found

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


def _some(keys: list[bytes]) -> bytes:
    return b", ".join(keys[:3]) + (b" and %d more" % (len(keys) - 3) if len(keys) > 3 else b"")
