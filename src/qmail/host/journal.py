"""Lines for the log on descriptor 2, gathered over a round and written together.

A write holds whole lines and at most what a pipe takes unbroken, so that the lines of several processes
do not mix. What cannot be written is lost without a word: a log is no reason to stop.
"""

from __future__ import annotations

from qmail.host.program import line, say

UNBROKEN = 4096  # bytes; PIPE_BUF of Linux (pipe(7))


class Journal:
    """The lines of one process. `open`: are they written at all?"""

    def __init__(self, *, open: bool = True) -> None:
        self.open = open
        self._lines: list[bytes] = []

    def add(self, text: bytes) -> None:
        """One more line; a newline inside becomes a blank."""
        if self.open:
            self._lines.append(line(text))

    def flush(self) -> None:
        """Write what was gathered."""
        if not self._lines:
            return
        ready: list[bytes] = []
        size = 0
        for each in self._lines:
            if size + len(each) > UNBROKEN and ready:
                say(2, b"".join(ready))
                ready.clear()
                size = 0
            ready.append(each)
            size += len(each)
        say(2, b"".join(ready))
        self._lines.clear()
