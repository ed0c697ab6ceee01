"""How a resident program that is asked over a socket begins; and the packets of its clients.

qmail-NAME [-i SECONDS]      one that may be started at need: with -i it ends after so long without a word
"""

from __future__ import annotations

import os
from functools import partial

from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Temporary, Usage
from qmail.host import locks
from qmail.host.localsocket import PACKETS, Listener
from qmail.host.loop import READ
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.host.loop import Loop
    from qmail.stores.home import Home

PAUSE = 1.0  # seconds that those who knock wait where the system has no descriptor for them


def idle(words: list[bytes], usage: bytes) -> float | None:
    """The seconds of -i. Raises Usage."""
    try:
        found, rest = options(words, b"i:")
    except Wrong:
        raise Usage(usage) from None
    if rest or any(not value.isdigit() or len(value) > 9 for _, value in found):
        raise Usage(usage)
    return float(found[-1][1]) if found else None


def begin(where: Home, name: bytes, lock: bytes, socket: bytes, mode: int, kind: int = PACKETS) -> Listener:
    """Be the only one of this name, and listen, at `socket` or where descriptor 0 already does. Raises Temporary."""
    try:
        # Held until the end of the process.
        if locks.take(where.file(lock)) is None:
            raise Temporary(name + b" is already running")
        return Listener.inherited(0) or Listener(where.file(socket), mode, kind)
    except OSError as error:
        raise Temporary(b"unable to listen at " + where.file(socket) + b": " + reason(error)) from error


class Packets:
    """Clients that send packets, `most` of them at a time; more are hung up on.

    `heard` gets a client's descriptor and each packet of at most `longest` bytes; `gone` a client that has hung up, or
    that was hung up on for a longer packet. A descriptor is good until then.
    """

    def __init__(
        self,
        loop: Loop,
        listener: Listener,
        most: int,
        longest: int,
        heard: Callable[[int, bytes], None],
        gone: Callable[[int], None] = lambda _client: None,
    ) -> None:
        self._loop, self._listener, self._most, self._longest = loop, listener, most, longest
        self._heard, self._gone = heard, gone
        self._clients: set[int] = set()
        self._full = False
        self.attend()

    def attend(self) -> float | None:
        """Listen (again). After how many seconds to call this, where there was no descriptor for somebody."""
        if self._full:
            self._full = False
            return PAUSE
        self._loop.watch(self._listener.fileno(), lambda _events: self._accept(), READ)
        return None

    def hang_up(self, client: int) -> None:
        """No more of this one."""
        if client in self._clients:
            self._clients.discard(client)
            self._loop.forget(client)
            os.close(client)
            self._gone(client)

    def _accept(self) -> None:
        try:
            peer = self._listener.accept()
        except OSError:
            self._full = True
            self._loop.forget(self._listener.fileno())
            return
        if peer is None:
            return
        if len(self._clients) >= self._most:
            os.close(peer.descriptor)
            return
        self._clients.add(peer.descriptor)
        self._loop.watch(peer.descriptor, partial(self._read, peer.descriptor), READ)

    def _read(self, client: int, _events: int) -> None:
        try:
            packet = os.read(client, self._longest + 1)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet or len(packet) > self._longest:
            self.hang_up(client)
        else:
            self._heard(client, packet)
