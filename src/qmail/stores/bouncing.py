"""Telling senders what became of their mail.

A notice is handed over before what it tells of is forgotten: a crash repeats it.
It goes to qmail-queued, or to a queue program where one stands in its place; neither is ever waited for.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from qmail.formats.besides import extension
from qmail.formats.bounce import DELAY, Bounce
from qmail.formats.envelope import envelope
from qmail.formats.verdict import Temporary
from qmail.host.errand import Errand
from qmail.stores import submission
from qmail.stores.handover import Handover
from qmail.stores.notice import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qmail.formats.mailparameters import Parameters
    from qmail.host.loop import Loop
    from qmail.stores.bouncers import Names
    from qmail.stores.home import Home
    from qmail.stores.notice import Notice
    from qmail.stores.queue import Queue

    Then = Callable[[int | None], None]

MOST = 8  # notices handed over at one time


class Bouncing:
    """Notices under way and waiting."""

    def __init__(
        self,
        home: Home,
        environ: Mapping[bytes, bytes],
        queue: Queue,
        names: Names,
        loop: Loop,
        shown: Callable[[bytes], bytes],
    ) -> None:
        self._home, self._environ, self._names, self._loop = home, environ, names, loop
        self._writer = Writer(queue, names, shown)
        self._waiting: deque[tuple[Notice, Then]] = deque()
        self._running = 0
        self._handovers: list[Handover] = []

    @property
    def busy(self) -> bool:
        """Is anything under way?"""
        return bool(self._waiting or self._running)

    def tell(self, notice: Notice, then: Then) -> None:
        """Send a notice. `then` is called with its long-term number, or None where it was not taken."""
        if notice.subject == DELAY:
            # While it waits here, the message goes on.
            try:
                notice.stamp = self._writer.stamp(notice.number)
            except OSError:
                then(None)
                return
        self._waiting.append((notice, then))
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
            notice, then = self._waiting.popleft()
            words = Bounce(notice.sender, self._names.postmaster)
            pieces = self._writer.pieces(notice, words)
            self._running += 1
            try:
                if submission.foreign(self._home, self._environ) is None:
                    self._hand_over(pieces, words, notice.onward, then)
                else:
                    errand = Errand(partial(self._submit, pieces, words, notice.onward))
                    self._loop.watch(errand.descriptor, partial(self._returned, errand, then))
            except OSError:
                # Not `_over`, which comes back here: of thousands that wait all fail, one after the other.
                self._running -= 1
                then(None)

    def _over(self, then: Then, qp: int | None) -> None:
        self._running -= 1
        then(qp)
        self._start()

    def _hand_over(self, pieces: Iterator[bytes], words: Bounce, onward: Parameters | None, then: Then) -> None:
        def over(qp: int | None) -> None:
            self._handovers.remove(handover)
            self._over(then, qp)

        path = self._home.file(b"qq/socket")
        last = envelope(words.envelope_sender, [words.recipient], extension(onward))
        handover = Handover(self._loop, path, pieces, last, over)
        self._handovers.append(handover)

    def _returned(self, errand: Errand, then: Then, _events: int) -> None:
        self._loop.forget(errand.descriptor)
        text = errand.result()
        self._over(then, int(text) if text else None)

    def _submit(self, pieces: Iterator[bytes], words: Bounce, onward: Parameters | None) -> bytes:
        """In a child: the notice's long-term number, in decimal. Raises whatever goes wrong."""
        away = submission.begin(self._home, self._environ)
        for piece in pieces:
            away.write(piece)
        outcome = away.finish(words.envelope_sender, [words.recipient], onward)
        if outcome.code:
            raise Temporary
        return b"%d" % outcome.qp
