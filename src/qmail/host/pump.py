"""Bytes passed on from descriptor to descriptor, several ways at once, until one of them has ended."""

from __future__ import annotations

import os
import select

from qmail.host import execute, fds, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn, Protocol

    class Change(Protocol):
        """What becomes of the bytes on their way (formats.carriage)."""

        def feed(self, data: bytes) -> bytes: ...
        def end(self) -> bytes: ...


CHUNK = 65536
UNBROKEN = 4096  # bytes that a pipe which polls writable takes without blocking (pipe(7))


class Flow:
    """One way: from `source` through `change` to `target`. `heard` gets each piece as it came, b"" at the end."""

    def __init__(self, source: int, target: int, change: Change, heard: Callable[[bytes], None] | None = None) -> None:
        self.source, self.target, self._change, self._heard = source, target, change, heard
        self._pending = b""
        self._ended = False  # nothing more comes
        self.over = False  # and nothing is left to be written

    @property
    def wants(self) -> tuple[int, int]:
        """The (descriptor, event) that this flow waits for."""
        return (self.target, select.POLLOUT) if self._pending else (self.source, select.POLLIN)

    def go(self) -> None:
        """What it waits for has come. A target that is gone ends the flow."""
        try:
            if self._pending:
                self._pending = self._pending[os.write(self.target, self._pending[:UNBROKEN]) :]
            else:
                self._take(os.read(self.source, CHUNK))
        except BlockingIOError:
            return
        except OSError:
            self._pending, self._ended = b"", True
        if self._ended and not self._pending:
            self.over = True
            try:
                os.close(self.target)
            except OSError:
                pass  # it was closed from the start

    def _take(self, data: bytes) -> None:
        if self._heard is not None:
            self._heard(data)
        self._ended = not data
        self._pending = self._change.feed(data) if data else self._change.end()


def relay(flows: Sequence[Flow], until: Flow) -> None:
    """Keep all flows going until this one is over. A flow that is over closes its target."""
    while not until.over:
        poll = select.poll()
        waiting: dict[int, list[Flow]] = {}
        for flow in flows:
            if not flow.over:
                descriptor, event = flow.wants
                waiting.setdefault(descriptor, []).append(flow)
                poll.register(descriptor, event)
        for descriptor, _ in poll.poll():
            for flow in waiting[descriptor]:
                flow.go()


def copy(source: int, target: int, change: Change) -> None:
    """Pass everything on, one way. Raises OSError."""
    for piece in fds.chunks(source):
        fds.write_all(target, change.feed(piece))
    fds.write_all(target, change.end())


def stand_between(
    argv: Sequence[bytes], environ: Mapping[bytes, bytes], between: Callable[[int, int], None]
) -> NoReturn:
    """Become a program whose descriptors 0 and 1 are pipes, with a child at their other ends.

    The child runs `between(to, from)`: `to` is what the program reads, `from` what it writes. Returns only by
    raising OSError: no pipe, no fork, or what exec said.
    """
    to_read, to = os.pipe2(os.O_CLOEXEC)
    from_, from_write = os.pipe2(os.O_CLOEXEC)
    if not os.fork():
        try:
            os.close(to_read)
            os.close(from_write)
            signals.ignore(signals.PIPE)
            between(to, from_)
        finally:
            os._exit(0)
    os.close(to)
    os.close(from_)
    fds.move(to_read, 0)
    fds.move(from_write, 1)
    execute.replace(argv, environ)
