"""Spare envelopes: files that have left intd/, kept for messages to come, since making and deleting files costs most.

They stand in queue/spare/, which both sides make, and qmail-queued empties at its start: where it cannot be,
nothing is kept. qmail-clean puts them there once their messages are gone for good, qmail-queued takes them out
again; both are qmailq, and nobody else can enter.

Only envelopes: a message's file was open in the processes of its recipients, and whoever kept it open could read
what is written into it later. An envelope was open in qmail-send alone. A file that any other name leads to is
no spare, whatever a crash has left here: a live envelope has its name in todo/.
"""

from __future__ import annotations

import os
import stat

from qmail.host import durable

MOST = 256  # files
LARGEST = 4096  # bytes of one


def _directory(root: bytes) -> bytes:
    # Where they are, in the queue below `root`.
    path = root + b"/spare"
    try:
        os.mkdir(path, 0o700)
    except OSError:
        pass  # there, or there cannot be one
    return path


class Shelf:
    """qmail-clean's side."""

    def __init__(self, root: bytes) -> None:
        self._directory = _directory(root)
        self._names = 0
        self._held = 0  # at most: qmail-queued does not say what it takes
        self._start = b"%b/%d." % (self._directory, os.getpid())

    def keep(self, path: bytes) -> None:
        """The file under `path` becomes a spare one, or goes. Raises OSError."""
        if self._held >= MOST:
            self._held = self._count()
        if self._held < MOST:
            self._names += 1
            self._held += 1
            try:
                # A name of its own: a file that is just being taken must not change under its name.
                durable.rename(path, b"%b%d" % (self._start, self._names))
                return
            except OSError:
                pass  # no such file, or nowhere to keep it
        durable.remove(path)

    def _count(self) -> int:
        try:
            return len(os.listdir(self._directory))
        except OSError:
            return 0


class Spares:
    """qmail-queued's side."""

    def __init__(self, root: bytes) -> None:
        self._directory = _directory(root)
        self._names: list[bytes] = []
        self._read = 0  # when the directory had changed that was read last
        self.clear()

    def clear(self) -> None:
        """Remove all: after a crash nobody knows what names lead here."""
        self._names = []
        try:
            for name in os.listdir(self._directory):
                durable.remove(self._directory + b"/" + name)
        except OSError:
            pass

    def take(self) -> tuple[bytes, int, int] | None:
        """The path of a spare file, its descriptor for writing, and how many bytes of old are in it; or None."""
        while self._names or self._look():
            path = self._directory + b"/" + self._names.pop()
            try:
                descriptor = durable.open_update(path)
            except OSError:
                continue
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_size <= LARGEST:
                return path, descriptor, status.st_size
            os.close(descriptor)
            try:
                durable.remove(path)
            except OSError:
                pass
        return None

    def _look(self) -> bool:
        try:
            changed = os.stat(self._directory).st_mtime_ns
            if changed != self._read:
                self._names = os.listdir(self._directory)[:MOST]
                self._read = changed
        except OSError:
            return False
        return bool(self._names)
