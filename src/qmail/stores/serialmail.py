"""The client's side of maildirserial: names on descriptor 0, messages behind them, reports on descriptor 1."""

from __future__ import annotations

import os
import stat

from qmail.formats import deliverylines, serialresult
from qmail.formats.verdict import Temporary
from qmail.host import fds
from qmail.host.program import say
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_NAME = 65_536  # bytes


class Names:
    """The names that come on descriptor 0, each ended by NUL."""

    def __init__(self) -> None:
        self._rest = b""
        self.over = False  # has the last one come?

    def more(self) -> list[bytes]:
        """Wait, and return what has come. Raises Temporary."""
        try:
            data = os.read(0, fds.CHUNK)
        except OSError as error:
            raise Temporary(b"unable to read input: " + reason(error)) from error
        self.over = not data
        *names, self._rest = (self._rest + data).split(b"\0")
        if len(self._rest) > LONGEST_NAME:
            raise Temporary(b"a name of more than 64 KiB")
        return names

    def all(self) -> Iterator[bytes]:
        """All names, as they come. Raises Temporary."""
        while not self.over:
            yield from self.more()


class Waiting:
    """A message that waits to be sent on, open: its envelope, with the prefix taken off, and what comes after it."""

    __slots__ = ("_at", "_descriptor", "name", "recipient", "sender", "size")

    def __init__(self, name: bytes, descriptor: int, lines: deliverylines.Lines, recipient: bytes, size: int) -> None:
        self.name, self._descriptor, self.sender, self.recipient = name, descriptor, lines.sender, recipient
        self._at, self.size = lines.size, size - lines.size

    @property
    def ends_in_the_middle_of_a_line(self) -> bool:
        """Does the last line lack its end?"""
        return self.size > 0 and os.pread(self._descriptor, 1, self._at + self.size - 1) != b"\n"

    def pieces(self) -> Iterator[bytes]:
        """The message behind the two lines, exactly `size` bytes. Raises Temporary."""
        left = self.size
        while left:
            try:
                piece = os.pread(self._descriptor, min(left, fds.CHUNK), self._at + self.size - left)
            except OSError as error:
                raise Temporary(b"unable to read %b: %b" % (self.name, reason(error))) from error
            if not piece:
                raise Temporary(b"unable to read %b: it is shorter than it was" % self.name)
            left -= len(piece)
            yield piece

    def close(self) -> None:
        """Done with it."""
        os.close(self._descriptor)


def opened(program: bytes, name: bytes, prefix: bytes) -> Waiting | None:
    """The message of this name, if it is for a recipient with this prefix.

    None, and a warning under the program's name, where it cannot be read: its owner may have read and removed it.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        say(2, program + b": warning: unable to open " + name + b": " + reason(error) + b"\n")
        return None
    try:
        status = os.fstat(descriptor)
        lines = deliverylines.read(os.pread(descriptor, deliverylines.LONGEST, 0))
    except OSError as error:
        say(2, program + b": warning: unable to read " + name + b": " + reason(error) + b"\n")
        lines = None
    if lines is not None and lines.recipient.startswith(prefix) and stat.S_ISREG(status.st_mode):
        return Waiting(name, descriptor, lines, lines.recipient[len(prefix) :], status.st_size)
    os.close(descriptor)
    return None


def report(name: bytes, letter: bytes, words: bytes, environ: Mapping[bytes, bytes], *, theirs: bool = True) -> None:
    """Tell what became of a message. `theirs`: the words are the server's. Raises Temporary."""
    partner = environ.get(b"TCPREMOTEIP") if theirs else None
    try:
        fds.write_all(1, serialresult.report(name, letter, words, partner))
    except OSError as error:
        raise Temporary(b"unable to write output: " + reason(error)) from error
