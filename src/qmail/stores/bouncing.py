"""Telling senders of failures. A notice is handed over before what it tells of is forgotten: a crash repeats it.

It goes to qmail-queued, or to a queue program where one stands in its place; neither is ever waited for.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from qmail.formats.bounce import Bounce
from qmail.formats.received import date
from qmail.formats.verdict import Temporary
from qmail.host import clock, fds
from qmail.host.errand import Errand
from qmail.stores import submission
from qmail.stores.handover import Handover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qmail.host.loop import Loop
    from qmail.stores.bouncers import Names
    from qmail.stores.home import Home
    from qmail.stores.queue import Queue

    Then = Callable[[int | None], None]

MOST = 8  # notices handed over at one time


class Bouncing:
    """Notices under way and waiting."""

    def __init__(self, home: Home, environ: Mapping[bytes, bytes], queue: Queue, names: Names, loop: Loop) -> None:
        self._home, self._environ, self._queue, self._names, self._loop = home, environ, queue, names, loop
        self._waiting: deque[tuple[int, bytes, bytes | None, Then]] = deque()
        self._running = 0
        self._handovers: list[Handover] = []

    @property
    def busy(self) -> bool:
        """Is anything under way?"""
        return bool(self._waiting or self._running)

    def tell(self, number: int, sender: bytes, paragraphs: bytes | None, then: Then) -> None:
        """Tell the sender of message `number`; paragraphs None: they stand in bounce/N.

        `then` is called with the long-term number of the notice, or None where it was not taken.
        """
        self._waiting.append((number, sender, paragraphs, then))
        self._start()

    def sweep(self, now: float) -> None:
        """Give up what has made no progress for too long."""
        for handover in [one for one in self._handovers if one.deadline <= now]:
            handover.end(None)

    def next_time(self) -> float | None:
        """When `sweep` may have something to do."""
        return min((one.deadline for one in self._handovers), default=None)

    def _start(self) -> None:
        while self._waiting and self._running < MOST:
            number, sender, paragraphs, then = self._waiting.popleft()
            notice = Bounce(sender, self._names.postmaster)
            pieces = self._pieces(number, paragraphs, notice)
            self._running += 1
            try:
                if submission.foreign(self._home, self._environ) is None:
                    self._hand_over(pieces, notice, then)
                else:
                    errand = Errand(partial(self._submit, pieces, notice))
                    self._loop.watch(errand.descriptor, partial(self._returned, errand, then))
            except OSError:
                self._over(then, None)

    def _over(self, then: Then, qp: int | None) -> None:
        self._running -= 1
        then(qp)
        self._start()

    def _hand_over(self, pieces: Iterator[bytes], notice: Bounce, then: Then) -> None:
        def over(qp: int | None) -> None:
            self._handovers.remove(handover)
            self._over(then, qp)

        path = self._home.file(b"qq/socket")
        handover = Handover(self._loop, path, pieces, notice.envelope_sender, notice.recipient, over)
        self._handovers.append(handover)

    def _returned(self, errand: Errand, then: Then, _events: int) -> None:
        self._loop.forget(errand.descriptor)
        text = errand.result()
        self._over(then, int(text) if text else None)

    def _submit(self, pieces: Iterator[bytes], notice: Bounce) -> bytes:
        """In a child: the notice's long-term number, in decimal. Raises whatever goes wrong."""
        away = submission.begin(self._home, self._environ)
        for piece in pieces:
            away.write(piece)
        outcome = away.finish(notice.envelope_sender, [notice.recipient])
        if outcome.code:
            raise Temporary
        return b"%d" % outcome.qp

    def _pieces(self, number: int, paragraphs: bytes | None, notice: Bounce) -> Iterator[bytes]:
        """The notice, read as it is sent. Raises OSError where the queue cannot be read."""
        names = self._names
        with open(fds.open_to_read(self._queue.file(b"mess", number)), "rb", buffering=0) as message:
            yield notice.head(date(int(clock.now())), names.local, names.host)
            if paragraphs is None:
                with open(fds.open_to_read(self._queue.file(b"bounce", number)), "rb", buffering=0) as file:
                    yield from fds.chunks(file.fileno())
            else:
                yield paragraphs
            yield notice.middle()
            yield from fds.chunks(message.fileno())
