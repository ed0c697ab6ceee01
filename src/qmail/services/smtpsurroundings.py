"""What a conversation of a warm qmail-smtpd and the process that holds it need of each other."""

from __future__ import annotations

from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque

    from qmail.host.loop import Loop
    from qmail.services.queuelinks import Links
    from qmail.stores.asking import Asker
    from qmail.stores.home import Home


class Held(Protocol):
    """A conversation, as the process sees it."""

    number: int

    def turn(self) -> None:
        """Its turn has come."""

    def look(self, now: float) -> None:
        """To be called every second."""


class Surroundings(Protocol):
    """What a conversation needs of the process that holds it."""

    @property
    def home(self) -> Home:
        """Where qmail-tlsd may be."""

    @property
    def loop(self) -> Loop:
        """Where its descriptor is watched."""

    @property
    def links(self) -> Links:
        """The connections to qmail-queued."""

    @property
    def asker(self) -> Asker:
        """Who knows which recipients there are."""

    @property
    def later(self) -> deque[Held]:
        """Those who have sent more, for their next turns."""

    def ended(self, conversation: Held, status: int) -> None:
        """It is over; `status` is a raw wait status."""
