"""A message as an open file: read from its start at any time, by anybody who holds the descriptor.

Reading never moves the file's offset, which is shared with whoever has the same description.
"""

from __future__ import annotations

import errno
import os
import stat

from qmail.formats.verdict import Temporary
from qmail.host import fds
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

CHUNK = 65536
NO_REWIND = b"Unable to rewind message. (#4.3.0)"


class Message:
    """The message open at `descriptor`; `size` in bytes where it is known to be a regular file of that size."""

    __slots__ = ("_copy", "_head", "descriptor", "size")

    def __init__(self, descriptor: int, size: int | None = None) -> None:
        self.descriptor, self.size = descriptor, size
        self._head: bytes | None = None
        self._copy: FileIO | None = None

    def pieces(self) -> Iterator[bytes]:
        """The message from its start, in pieces of at most 64 KiB; the first is read only once. Raises Temporary."""
        if self._head is None:
            if self.size is None:
                self.size = self._regular_size()
            self._head = self._read(0)
        at = len(self._head)
        yield self._head
        while at != self.size:
            piece = self._read(at)
            if not piece:
                if self.size is None:
                    return
                raise Temporary(b"Unable to read message: it is shorter than it was. (#4.3.0)", plain=True)
            at += len(piece)
            yield piece

    def for_program(self) -> int:
        """A descriptor for somebody's program, which may keep it, with its offset at the start. Raises Temporary."""
        try:
            if self._copy is None and (copy := fds.copy_of_hidden(self.descriptor)) is not None:
                self._copy = open(copy, "rb", buffering=0)
        except OSError as error:
            raise Temporary(b"Unable to copy message: " + reason(error) + b". (#4.3.0)", plain=True) from error
        descriptor = self.descriptor if self._copy is None else self._copy.fileno()
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
        except OSError:
            raise Temporary(NO_REWIND, plain=True) from None
        return descriptor

    def _read(self, at: int) -> bytes:
        try:
            return os.pread(self.descriptor, CHUNK, at)
        except OSError as error:
            if error.errno == errno.ESPIPE:
                raise Temporary(NO_REWIND, plain=True) from None
            text = b"Unable to read message%b: %b. (#4.3.0)" % (self._name(), reason(error))
            raise Temporary(text, plain=True) from error

    def _regular_size(self) -> int | None:
        try:
            status = os.fstat(self.descriptor)
        except OSError as error:
            raise Temporary(b"Unable to read message: " + reason(error) + b". (#4.3.0)", plain=True) from error
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _name(self) -> bytes:
        try:
            return b" " + os.readlink(b"/proc/self/fd/%d" % self.descriptor)
        except OSError:
            return b""
