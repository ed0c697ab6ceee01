"""The queue's file system as one thing to make durable: one syncfs for a batch, cheaper than its fsyncs."""

from __future__ import annotations

import os

from qmail.host import clock, durable
from qmail.rules.barriers import Rest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Whole:
    """The file system that `directories` are on, through a descriptor kept open since start.

    A fresh descriptor would not hear of errors that were reported before it was opened.
    """

    def __init__(self, root: bytes, directories: Iterable[bytes]) -> None:
        self._syncfs = durable.whole()
        self._descriptor = -1
        self._rest = Rest()
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
        return self._syncfs is not None and self._descriptor >= 0 and self._rest.over(clock.monotonic())

    def sync(self, through: int | None = None) -> None:
        """Everything written and named so far is durable when this returns. Raises OSError.

        `through`: a descriptor on it that was opened before any of that was written. Each descriptor hears of an
        error once, so where more is being written than this sync is for, the one kept here would hear of an error
        whose file is still to come, and of that one nothing later.
        """
        assert self._syncfs is not None
        begin = clock.monotonic()
        try:
            self._syncfs(self._descriptor if through is None else through)
        finally:
            self._rest.took(begin, clock.monotonic())
