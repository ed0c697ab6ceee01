"""What only the owner of a home can tell of recipients: asked of qmail-lspawn, not all at once, and remembered."""

from __future__ import annotations

from collections import deque
from functools import partial

from qmail.host.clock import monotonic
from qmail.protocols.recipients import UNTOLD
from qmail.stores import asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.host.loop import Loop
    from qmail.stores.asking import Told

MOST_ASKED = 40  # questions to qmail-lspawn under way
MOST_WAITING = 4000  # questions that wait for that
KNOWN_FOR = 60.0  # seconds that an answer of qmail-lspawn is good for
MOST_KNOWN = 10_000  # answers


class HomeAnswers:
    """Asks about local parts. `path`: the socket of qmail-lspawn."""

    def __init__(self, loop: Loop, path: bytes) -> None:
        self._owners = asking.Asker(loop, path)
        self._known: dict[bytes, tuple[float, bytes]] = {}  # local part: until when, verdict
        self._asking: dict[bytes, list[Told]] = {}  # asked or to be asked, and who wants to know
        self._waiting: deque[bytes] = deque()  # those to be asked

    def ask(self, local: bytes, told: Told) -> None:
        """`told` gets the verdict, from the loop or at once."""
        until, known = self._known.get(local, (0.0, UNTOLD))
        if until > monotonic():
            told(known)
        elif len(self._waiting) >= MOST_WAITING:
            told(UNTOLD)
        else:
            wanting = self._asking.setdefault(local, [])
            wanting.append(told)
            if len(wanting) == 1:
                self._waiting.append(local)

    def rest(self) -> float | None:
        """To be called before each wait: asks, and says after how many seconds `tick` has something to do."""
        while self._waiting and len(self._asking) - len(self._waiting) < MOST_ASKED:
            local = self._waiting.popleft()
            self._owners.ask(local, partial(self._told, local))
        return self._owners.rest()

    def tick(self) -> None:
        """Give up what was asked too long ago; to be called once a round."""
        self._owners.tick()

    def _told(self, local: bytes, verdict: bytes) -> None:
        if verdict != UNTOLD:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[local] = monotonic() + KNOWN_FOR, verdict
        for told in self._asking.pop(local):
            told(verdict)
