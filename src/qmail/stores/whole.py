"""The queue's file system as one thing to make durable: one syncfs for a batch, cheaper than its fsyncs."""

from __future__ import annotations

import os

from qmail.host import clock, dirty, durable
from qmail.rules.barriers import Rest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MUCH = 128 << 20  # bytes in memory for disks: a syncfs might have to wait for all of that
LOOKS = 0.25  # seconds between looks at that


class Whole:
    """The file system that `directories` are on, through a descriptor kept open since start.

    A fresh descriptor would not hear of errors that were reported before it was opened.
    """

    def __init__(self, root: bytes, directories: Iterable[bytes]) -> None:
        self._syncfs = durable.whole()
        self._descriptor = -1
        self._rest = Rest()
        self._looked, self._much = 0.0, False
        self.device = -1
        try:
            devices = {os.stat(root + b"/" + name).st_dev for name in directories}
            if len(devices) == 1:
                self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self.device = os.fstat(self._descriptor).st_dev
                if self.device not in devices:
                    os.close(self._descriptor)
                    self._descriptor = -1
        except OSError:
            pass  # a queue that is not there yet: its files are then made durable one by one

    def ready(self) -> bool:
        """Is this a way to make files durable now?"""
        now = clock.monotonic()
        if self._syncfs is None or self._descriptor < 0 or not self._rest.over(now):
            return False
        if now >= self._looked + LOOKS:
            self._looked, self._much = now, dirty.size() > MUCH
        return not self._much

    def sync(self, *, files: int = 1, size: int = 0) -> None:
        """Everything written and named so far is durable when this returns. Raises OSError.

        `files`, `size`: how many files it is for, and bytes that nobody has asked the disk for before. An error is told
        once: it may have been in whatever was written since the last time, by whomever.
        """
        assert self._syncfs is not None
        begin = clock.monotonic()
        try:
            self._syncfs(self._descriptor)
        except OSError:
            self._rest.failed(clock.monotonic())
            raise
        self._rest.took(begin, clock.monotonic(), files, size)
