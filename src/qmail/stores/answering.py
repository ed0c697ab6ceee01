"""Answering questions about recipients (protocols/recipients): who asks, and what they have not read yet.

A client that does not read is not read from; one that breaks the protocol, or is not `welcome`, is hung up on.
"""

from __future__ import annotations

import os

from qmail.host.loop import READ, WRITE
from qmail.protocols import recipients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from qmail.host.localsocket import Listener
    from qmail.host.loop import Loop

BLOCK = 65536  # bytes read at once


class Client:
    """One connection. `asked`: how many of its questions are not answered yet."""

    __slots__ = ("_clients", "_out", "_reader", "asked", "descriptor")

    def __init__(self, clients: Clients, descriptor: int) -> None:
        self._clients, self.descriptor = clients, descriptor
        self._reader = recipients.Questions()
        self._out = b""
        self.asked = 0
        clients.loop.watch(descriptor, self._ready)

    def answer(self, tag: int, verdict: bytes) -> None:
        """Answer one question, now or as soon as there is room."""
        self.asked -= 1
        self._send(recipients.answer(tag, verdict))

    def close(self) -> None:
        """Hang up."""
        if self.descriptor >= 0:
            self._clients.loop.forget(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1
            self._clients.gone(self)

    def _ready(self, events: int) -> None:
        if self._out:
            self._send(b"")
            return
        try:
            data = os.read(self.descriptor, BLOCK)
            questions = self._reader.feed(data)
        except BlockingIOError:
            return
        except (OSError, recipients.Broken):
            data, questions = b"", []
        if not data:
            self.close()
            return
        self.asked += len(questions)
        ready = [
            recipients.answer(tag, verdict)
            for tag, text in questions
            if (verdict := self._clients.verdict(self, tag, text)) is not None
        ]
        self.asked -= len(ready)
        if ready:
            self._send(b"".join(ready))

    def _send(self, data: bytes) -> None:
        if self.descriptor < 0:
            return
        waited = bool(self._out)
        self._out += data
        try:
            self._out = self._out[os.write(self.descriptor, self._out) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if bool(self._out) != waited:
            self._clients.loop.watch(self.descriptor, self._ready, WRITE if self._out else READ)


class Clients:
    """All connections at a listener.

    `welcome`: the uids that may ask. `verdict`: is called with client, tag and text of each question;
    where it returns None, `Client.answer` is called later. `most`: clients at a time.
    """

    def __init__(
        self,
        loop: Loop,
        listener: Listener,
        welcome: Container[int],
        verdict: Callable[[Client, int, bytes], bytes | None],
        most: int,
    ) -> None:
        self.loop, self.verdict = loop, verdict
        self._listener, self._welcome, self._most = listener, welcome, most
        self._all: set[Client] = set()
        self._listen()

    def gone(self, client: Client) -> None:
        """A connection has ended."""
        self._all.discard(client)
        self._listen()

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:  # it is not closed
            self.loop.watch(self._listener.fileno(), lambda _events: self._accept())

    def _accept(self) -> None:
        try:
            peer = self._listener.accept()
        except OSError:
            # No descriptor is left: those who knock wait until a client goes.
            self.loop.forget(self._listener.fileno())
            return
        if peer is None:
            return
        if peer.uid not in self._welcome or len(self._all) >= self._most:
            os.close(peer.descriptor)
        else:
            self._all.add(Client(self, peer.descriptor))
