"""An archive of tar's format, read once from beginning to end, so that it may come through a pipe."""

from __future__ import annotations

import os

from qmail.formats import ustar
from qmail.formats.ustar import BLOCK, Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.formats.ustar import Member

CHUNK = 65536


class ArchiveReader:
    """The archive on a descriptor. Everything raises OSError, and Corrupt where it is none or ends early."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._left = self._padding = 0  # bytes of this file, and behind it
        self._ended = False

    def next(self) -> Member | None:
        """The next file, after what is left of the last one; None at the end of everything."""
        for _ in self.pieces():
            pass
        self._exactly(self._padding)
        self._padding = 0
        while True:
            block = self._read(BLOCK)
            if not block and self._ended:
                return None
            if len(block) < BLOCK:
                raise Corrupt("the archive ends early")
            try:
                member = ustar.member(block)
            except Corrupt:
                if self._ended:
                    return None  # what stands behind an archive is nobody's
                raise
            # Another archive behind it belongs to it.
            self._ended = member is None
            if member is not None:
                self._left, self._padding = member.size, -member.size % BLOCK
                return member

    def pieces(self) -> Iterator[bytes]:
        """The contents of this file."""
        while self._left:
            piece = os.read(self._descriptor, min(self._left, CHUNK))
            if not piece:
                raise Corrupt("the archive ends early")
            self._left -= len(piece)
            yield piece

    def text(self, limit: int) -> bytes:
        """The same in one; Corrupt where it has more than `limit` bytes."""
        if self._left > limit:
            raise Corrupt("larger than any that was accepted")
        return b"".join(self.pieces())

    def _exactly(self, size: int) -> None:
        if len(self._read(size)) < size:
            raise Corrupt("the archive ends early")

    def _read(self, size: int) -> bytes:
        pieces = []
        while size and (piece := os.read(self._descriptor, size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)
