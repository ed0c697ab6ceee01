"""A client of a warm qmail-smtpd on its way through qmail-tlsd: handed over, and given back as plain text."""

from __future__ import annotations

import os

from qmail.formats import tlsfacts
from qmail.stores import tlsdoor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.host.loop import Loop

BLOCK = 65536  # bytes read at once


class Handshake:
    """The wait for its end, at `door`.

    `done` is called once: with how the client is protected, and its first words; with None where it is not.
    """

    def __init__(
        self, loop: Loop, door: int, client: int, done: Callable[[tlsfacts.Facts | None, bytes], None]
    ) -> None:
        """Raises OSError where the client cannot be handed over."""
        tlsdoor.hand_over(door, client)
        self._door, self._done, self._said = door, done, b""
        loop.watch(door, self._ready)

    def _ready(self, _events: int) -> None:
        facts, rest = None, b""
        try:
            data = os.read(self._door, BLOCK)
            self._said += data
            if data and b"\n" not in self._said and len(self._said) < tlsfacts.LONGEST:
                return
            line, end, rest = self._said.partition(b"\n")
            facts = tlsfacts.answer(line + end)
        except BlockingIOError:
            return
        except (OSError, tlsfacts.Broken):
            pass
        self._done(facts, rest)
