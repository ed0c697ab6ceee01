"""A message on its way to qmail-queued without anybody waiting for it: for loops.

`submission` is the same for programs that have nothing else to do.
"""

from __future__ import annotations

import os

from qmail.host import clock, localsocket
from qmail.host.loop import READ, WRITE
from qmail.protocols import submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qmail.host.loop import Loop

PATIENCE = 600.0  # seconds without any progress


class Handover:
    """Hands over the `pieces` of one message, which are asked for as there is room, and `last` its envelope.

    `then` is called once, with the message's long-term number, or None where it was not taken. Raises
    OSError where qmail-queued cannot be reached now.
    """

    def __init__(
        self,
        loop: Loop,
        path: bytes,
        pieces: Iterable[bytes],
        last: bytes,
        then: Callable[[int | None], None],
    ) -> None:
        self._loop, self._then = loop, then
        self._frames = _frames(pieces, last)
        self._unsent = b""
        self._reader = submit.Reader()
        self._descriptor = localsocket.connect(path)
        self.deadline = clock.monotonic() + PATIENCE
        loop.watch(self._descriptor, self._ready, READ | WRITE)

    def _ready(self, _events: int) -> None:
        self.deadline = clock.monotonic() + PATIENCE
        try:
            self._read()
            self._write()
        except BlockingIOError:
            pass
        except (OSError, submit.Broken, StopIteration):
            self.end(None)

    def _read(self) -> None:
        """Take the answer; an early one is a refusal. Raises OSError, Broken; StopIteration at the end."""
        try:
            data = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        self._reader.feed(data)
        frame = self._reader.next()
        if frame is not None:
            code, qp = submit.parse_answer(frame[1])
            self.end(None if code else qp)
        elif not data:
            raise StopIteration

    def _write(self) -> None:
        """Send what can be sent. Raises OSError."""
        while self._descriptor >= 0:
            if not self._unsent:
                self._unsent = next(self._frames, b"")
                if not self._unsent:
                    self._loop.watch(self._descriptor, self._ready, READ)
                    return
            self._unsent = self._unsent[os.write(self._descriptor, self._unsent) :]

    def end(self, qp: int | None) -> None:
        """It was taken as `qp`, or not at all."""
        if self._descriptor >= 0:
            self._loop.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._then(qp)


def _frames(pieces: Iterable[bytes], last: bytes) -> Iterator[bytes]:
    """The whole talk of one message, small pieces together."""
    held = [submit.frame(submit.BEGIN)]
    size = 0
    for piece in pieces:
        held += submit.frames(submit.MESSAGE, piece)
        size += len(piece)
        if size >= submit.LARGEST:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join([*held, *submit.frames(submit.ENVELOPE, last), submit.frame(submit.COMMIT)])
