"""local/N or remote/N, read in pieces: files of any length take little memory."""

from __future__ import annotations

import os

from qmail.formats.queuefile import Corrupt
from qmail.host import fds

_CHUNK = 65536
LONGEST = 1 << 20  # bytes of one record


class Recipients:
    """Whom a message is still for. Raises OSError where the file cannot be opened."""

    def __init__(self, path: bytes) -> None:
        self._descriptor = fds.open_to_read(path)
        self._records: list[bytes] = []  # reversed
        self._rest = b""
        self._position = 0
        self.torn = False  # the last record has no end, or there is none at all

    def next(self) -> tuple[int, bytes] | None:
        """(position, recipient) of the next one to be done, None at the end. Raises OSError, and Corrupt."""
        while True:
            while self._records:
                record = self._records.pop()
                position = self._position
                self._position += len(record) + 1
                kind = record[:1]
                if kind == b"T":
                    return position, record[1:]
                if kind != b"D":
                    raise Corrupt("unknown record type")
            chunk = os.read(self._descriptor, _CHUNK)
            if not chunk:
                self.torn = bool(self._rest) or not self._position
                return None
            self._records = (self._rest + chunk).split(b"\0")
            self._rest = self._records.pop()
            if len(self._rest) > LONGEST:
                raise Corrupt("a record without an end")
            self._records.reverse()

    def close(self) -> None:
        """No more is read."""
        os.close(self._descriptor)
