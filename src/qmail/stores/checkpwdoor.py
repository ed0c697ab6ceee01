"""The way to qmail-checkpwd (protocols/checkpw), from a loop that must not wait.

Where it cannot be reached, says nothing, or has too many questions, the answer is TROUBLE: nobody gets in, and
everybody may try again.
"""

from __future__ import annotations

import os
from functools import partial

from qmail.host import localsocket
from qmail.host.clock import monotonic
from qmail.protocols import checkpw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.host.loop import Loop
    from qmail.stores.home import Home

SOCKET = b"ql/checkpw"
PATIENCE = 150.0  # seconds: a checker has 60, and may have to wait for others
MOST = 250  # questions at once


class Asked:
    """One question. `told` gets the answer, once."""

    __slots__ = ("due", "told")

    def __init__(self, told: Callable[[bytes], None]) -> None:
        self.told, self.due = told, monotonic() + PATIENCE


class Door:
    """All questions of one process. `told` is called from the loop, from `look`, or at once."""

    def __init__(self, loop: Loop, home: Home) -> None:
        self._loop, self._path = loop, home.file(SOCKET)
        self._asked: dict[int, Asked] = {}  # by descriptor

    def ask(self, address: bytes, name: bytes, password: bytes, told: Callable[[bytes], None]) -> None:
        """Is this the password of that name?"""
        descriptor = -1
        try:
            if len(self._asked) >= MOST:
                raise BlockingIOError
            descriptor = localsocket.connect(self._path, localsocket.PACKETS)
            os.write(descriptor, checkpw.question(address, name, password))
        except OSError:
            if descriptor >= 0:
                os.close(descriptor)
            told(checkpw.TROUBLE)
            return
        self._asked[descriptor] = Asked(told)
        self._loop.watch(descriptor, partial(self._ready, descriptor))

    def look(self, now: float) -> None:
        """Give up what takes too long; to be called about every second."""
        for descriptor in [each for each, asked in self._asked.items() if asked.due <= now]:
            self._end(descriptor, checkpw.TROUBLE)

    def _ready(self, descriptor: int, _events: int) -> None:
        try:
            answer = os.read(descriptor, 16)
        except BlockingIOError:
            return
        except OSError:
            answer = b""
        self._end(descriptor, answer if answer in (checkpw.YES, checkpw.NO) else checkpw.TROUBLE)

    def _end(self, descriptor: int, answer: bytes) -> None:
        asked = self._asked.pop(descriptor)
        self._loop.forget(descriptor)
        os.close(descriptor)
        asked.told(answer)
