"""What leaves the queue: orders to qmail-clean, in the one order that no crash can turn into somebody else's mail.

`todo/N` first, for a batch; then todo/ is made durable; then whoever waits for it is told, and for
messages that are done `foop/N`, which removes mess/N. Only then may the number be given to a new message.
What qmail-clean cannot remove is tried again.
"""

from __future__ import annotations

import os
from collections import deque

from qmail.formats import logline
from qmail.rules.retry import AFTER_TROUBLE
from qmail.rules.schedule import Schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.stores.incoming import Incoming

    Act = Callable[[int], None]

MOST = 128  # orders on their way at one time: the smallest pipe holds them, so that writing them never waits
_GONE = b"+"[0]


class Lost(Exception):
    """qmail-clean is gone."""


class Clearing:
    """The pipes to qmail-clean. `say` takes log lines.

    Every order has an act, which is called with the number when it is carried out and, of todo/, durable.
    """

    def __init__(self, orders: int, answers: int, incoming: Incoming, say: Callable[[bytes], None]) -> None:
        self._orders, self.answers = orders, answers
        self._incoming, self._say = incoming, say
        self._new: deque[tuple[bytes, int, Act]] = deque()
        self._asked: deque[tuple[bytes, int, Act]] = deque()
        self._gone: list[tuple[int, Act]] = []  # removed from todo/, and not yet durably
        self._again: dict[int, tuple[bytes, int, Act]] = {}
        self._when = Schedule()

    def ask(self, kind: bytes, number: int, act: Act) -> None:
        """Have todo/N and intd/N removed (`kind` todo), or the rest of a message (foop)."""
        self._new.append((kind, number, act))

    @property
    def busy(self) -> bool:
        """Is anything under way?"""
        return bool(self._new or self._asked)

    def hurry(self, now: int) -> None:
        """Whatever is to be tried again is due now."""
        self._when.no_later_than(now)

    @property
    def waiting(self) -> int:
        """Orders that could be sent now."""
        return 0 if self._asked else len(self._new)

    def resume(self, now: int) -> None:
        """Ask again for what is due."""
        while (number := self._when.take(now)) is not None:
            self._new.append(self._again.pop(number))

    def push(self) -> None:
        """Send what there is to send, where nothing is on its way. Raises Lost."""
        if self._new and not self._asked:
            count = min(len(self._new), MOST)
            for _ in range(count):
                self._asked.append(self._new.popleft())
            text = b"".join([b"%b/%d\0" % (kind, number) for kind, number, _ in self._asked])
            try:
                if os.write(self._orders, text) != len(text):
                    raise Lost
            except OSError as error:
                raise Lost from error

    def next_time(self) -> int | None:
        """When something is to be tried again."""
        return self._when.first()

    def answered(self, now: int) -> None:
        """Read the answers; after the last of a batch the acts. Raises Lost."""
        try:
            text = os.read(self.answers, MOST)
        except BlockingIOError:
            return
        except OSError as error:
            raise Lost from error
        if not text or len(text) > len(self._asked):
            raise Lost
        done = []
        for answer in text:
            kind, number, act = order = self._asked.popleft()
            if answer != _GONE:
                self._failed(order, now)
            elif kind == b"foop":
                done.append((number, act))
            else:
                self._gone.append((number, act))
        if not self._asked and self._gone:
            done += self._sync(now)
        for number, act in done:
            act(number)

    def _sync(self, now: int) -> list[tuple[int, Act]]:
        gone, self._gone = self._gone, []
        try:
            self._incoming.sync()
        except OSError:
            self._say(logline.warning(b"trouble fsyncing todo"))
            for number, act in gone:
                # Asked for again it is gone already, and todo/ is synced anew.
                self._later((b"todo", number, act), now)
            return []
        return gone

    def _failed(self, order: tuple[bytes, int, Act], now: int) -> None:
        self._say(logline.warning(b"qmail-clean unable to clean up %b/%d" % order[:2]))
        self._later(order, now)

    def _later(self, order: tuple[bytes, int, Act], now: int) -> None:
        self._again[order[1]] = order
        self._when.add(order[1], now + AFTER_TROUBLE)
