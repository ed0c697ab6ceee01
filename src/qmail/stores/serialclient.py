"""A client of maildirserial as a child: names go in, reports come out, both at once."""

from __future__ import annotations

import os
import select

from qmail.formats import serialresult
from qmail.formats.verdict import Temporary
from qmail.host import execute, fds
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENOUGH = 4096  # bytes of names that are gathered before they are written


class Client:
    """One run of the client. `code`: its exit code when all `reports` have been seen, negative after a signal."""

    def __init__(self, argv: Sequence[bytes], environ: Mapping[bytes, bytes], names: Iterator[bytes]) -> None:
        self._names = names
        self._given: set[bytes] = set()  # and not reported yet
        self._pending, self._exhausted = b"", False
        self.code = 0
        try:
            reader, self._to = os.pipe2(os.O_CLOEXEC)
            self._from, writer = os.pipe2(os.O_CLOEXEC)
            self._pid = execute.spawn(argv, environ, {0: reader, 1: writer}, unable=111)
        except OSError as error:
            raise Temporary(b"unable to run " + argv[0] + b": " + reason(error)) from error
        os.set_blocking(self._to, False)
        os.close(reader)
        os.close(writer)

    def reports(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """(name, letter, words) as the client tells them, each name that it was given once. Raises Temporary."""
        reader = serialresult.Reports()
        try:
            while data := self._heard():
                for name, letter, words in reader.feed(data):
                    if name in self._given:
                        self._given.remove(name)
                        yield name, letter, words
        except serialresult.Broken as error:
            raise Temporary(b"unable to read from client: " + str(error).encode()) from error
        finally:
            self._stop()
            os.close(self._from)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _heard(self) -> bytes:
        """Hand over names until the client says something, or has ended."""
        while True:
            poll = select.poll()
            poll.register(self._from, select.POLLIN)
            if self._to >= 0:
                poll.register(self._to, select.POLLOUT)
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._to in ready:
                self._hand_over()
            if self._from in ready:
                return os.read(self._from, fds.CHUNK)

    def _hand_over(self) -> None:
        while len(self._pending) < ENOUGH and not self._exhausted:
            name = next(self._names, None)
            if name is None:
                self._exhausted = True
            else:
                self._given.add(name)
                self._pending += name + b"\0"
        try:
            self._pending = self._pending[os.write(self._to, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self._pending, self._exhausted = b"", True  # it wants no more; what it was not told of waits
        if self._exhausted and not self._pending:
            self._stop()

    def _stop(self) -> None:
        if self._to >= 0:
            os.close(self._to)
            self._to = -1
