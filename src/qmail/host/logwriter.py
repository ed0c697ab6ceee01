"""A log that never holds up the one who writes it.

Lines gather in `lines` and go out with `flush`, many in one write. A pipe that nobody empties is left
alone until it takes bytes again; up to `LIMIT` bytes wait meanwhile. Beyond that new lines are
dropped and counted, and the count is said as soon as there is room. A pipe without a reader takes none.
"""

from __future__ import annotations

import os
import select
import stat

LIMIT = 32 * 1024 * 1024  # bytes
_SAFE_WRITE = 4096  # bytes that a pipe which is ready takes without waiting (PIPE_BUF)


class LogWriter:
    """Lines on their way to a descriptor, whose flags are left as they are, since others may share them."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.lines: list[bytes] = []
        self._rest = b""
        self._lost = 0
        # A file is always ready, and waits for nobody but the disk.
        self._plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    @property
    def waiting(self) -> bool:
        """Is there anything to write?"""
        return bool(self.lines or self._rest or self._lost)

    def flush(self) -> bool:
        """Write what can be written without waiting. True where nothing is left."""
        if self.lines:
            self._gather()
        while self._rest:
            try:
                if not self._plain and not self._poll.poll(0):
                    return False
                piece = self._rest if self._plain else self._whole_lines()
                self._rest = self._rest[os.write(self.descriptor, piece) :]
            except BlockingIOError:
                return False
            except OSError:
                self._rest = b""  # nobody reads, or the disk is full: mail is more than its log
        if self._lost:
            self.lines.append(b"alert: log was blocked: %d lines lost\n" % self._lost)
            self._lost = 0
            return self.flush()
        return True

    def _whole_lines(self) -> bytes:
        # Other writers of the same pipe shall not come between the parts of a line.
        end = self._rest.rfind(b"\n", 0, _SAFE_WRITE) + 1
        return self._rest[: end or _SAFE_WRITE]

    def _gather(self) -> None:
        text = b"".join(self.lines)
        if len(self._rest) + len(text) > LIMIT:
            self._lost += len(self.lines)
        else:
            self._rest += text
        self.lines.clear()
