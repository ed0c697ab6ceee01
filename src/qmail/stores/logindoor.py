"""The way to qmail-authd (protocols/login), from a loop that must not wait, or waiting for each answer.

Where it cannot be reached, or hangs up, the answer is TROUBLE: nobody gets in, and everybody may try again.
"""

from __future__ import annotations

import os

from qmail.host import localsocket
from qmail.protocols.login import BEGIN, CHALLENGE, COUNT, LONGEST, TROUBLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.host.loop import Loop
    from qmail.stores.home import Home

SOCKET = b"qp/login"
_FIRST = (BEGIN, COUNT)
PATIENCE = 120  # seconds: whoever has failed often is kept waiting


class Door:
    """One client's login, and what it sends. `told` gets each answer, from the loop or at once."""

    def __init__(self, loop: Loop, home: Home, told: Callable[[bytes], None]) -> None:
        self._loop, self._path, self._told = loop, home.file(SOCKET), told
        self._descriptor = -1

    def send(self, packet: bytes) -> None:
        """What the client said; with the first one a login begins, or a question how much it may send."""
        try:
            if packet[:1] in _FIRST:
                self.close()
                self._descriptor = localsocket.connect(self._path, localsocket.PACKETS)
                self._loop.watch(self._descriptor, self._ready)
            os.write(self._descriptor, packet)
        except OSError:
            self.close()
            self._told(TROUBLE)

    def close(self) -> None:
        """The login is over, or nobody waits for it."""
        if self._descriptor >= 0:
            self._loop.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _ready(self, _events: int) -> None:
        try:
            answer = os.read(self._descriptor, LONGEST)
        except BlockingIOError:
            return
        except OSError:
            answer = b""
        if answer[:1] != CHALLENGE:
            self.close()
        self._told(answer or TROUBLE)


class Patient:
    """The same for a process that has one client and may wait."""

    def __init__(self, home: Home) -> None:
        self._path = home.file(SOCKET)
        self._descriptor = -1

    def answer(self, packet: bytes) -> bytes:
        """What qmail-authd says to this; nothing where the packet is empty, and the login over."""
        if packet[:1] in (*_FIRST, b"") and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if not packet:
            return b""
        try:
            if self._descriptor < 0:
                self._descriptor = localsocket.connect(self._path, localsocket.PACKETS, patience=PATIENCE)
            os.write(self._descriptor, packet)
            return os.read(self._descriptor, LONGEST) or TROUBLE
        except OSError:
            return TROUBLE
