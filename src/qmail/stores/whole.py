"""The queue's file system as one thing to make durable: one syncfs for a batch, cheaper than its fsyncs."""

from __future__ import annotations

import os

from qmail.host import clock, durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SLOW = 0.05  # seconds: a syncfs that took longer wrote somebody else's data
PAUSE = 1.0  # seconds without it after a slow one


class Whole:
    """The file system that `directories` are on, through a descriptor kept open since start.

    A fresh descriptor would not hear of errors that were reported before it was opened.
    """

    def __init__(self, root: bytes, directories: Iterable[bytes]) -> None:
        self._syncfs = durable.whole()
        self._descriptor = -1
        self._not_before = 0.0
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
        if self._syncfs is None or self._descriptor < 0:
            return False
        return not self._not_before or clock.monotonic() >= self._not_before

    def sync(self) -> None:
        """Everything written and named so far is durable when this returns. Raises OSError."""
        assert self._syncfs is not None
        start = clock.monotonic()
        self._syncfs(self._descriptor)
        end = clock.monotonic()
        self._not_before = end + PAUSE if end - start > SLOW else 0.0
