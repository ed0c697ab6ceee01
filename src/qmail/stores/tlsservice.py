"""Connections that are passed to qmail-tlsd, in the process that uses the keys.

A program connects to qt/socket, passes a client's connection with one line (`formats.tlsfacts`), and has the
plain text on the socket from then on.
"""

from __future__ import annotations

import os
from functools import partial

from qmail.formats import tlsfacts
from qmail.host import clock, fds, localsocket, passing, program, sockets
from qmail.host.loop import Loop
from qmail.host.reasons import reason
from qmail.host.tlsrelay import Relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.host import tls

MOST = 4096  # connections
ASKING = 10.0  # seconds for a program to pass the connection
PAUSE = 1.0  # seconds without new connections where there are too many
SWEEP = 1.0  # seconds between looks for connections that take too long
EVENTS = 64  # connections taken in a row


def say(text: bytes) -> None:
    """One line for the log, unless that would make us wait."""
    fds.write_if_ready(2, program.line(b"qmail-tlsd: " + text))


class Service:
    """It takes connections while its keeper wants it, which it sees by `life`, and then ends with the last of them."""

    def __init__(
        self, listener: localsocket.Listener, life: int, keys: tls.Keys, callers: frozenset[int], most: int
    ) -> None:
        self._listener, self._keys, self._callers, self._most = listener, keys, callers, most
        self.loop = Loop()
        self.asking: dict[int, float] = {}  # connections of programs that have passed nothing yet, and until when
        self.relays: set[Relay] = set()
        self._open = True
        self._paused_until = 0.0
        self.loop.watch(life, self._retired)
        self._life = life
        self.loop.watch(listener.fileno(), self._accept)

    def run(self) -> None:
        """Until nothing is left to do."""
        sweep = 0.0
        while self._open or self.relays or self.asking:
            self.loop.round(SWEEP if self.relays or self.asking or self._paused_until else None)
            now = clock.monotonic()
            if now >= sweep:
                sweep = now + SWEEP
                self._sweep(now)

    def _sweep(self, now: float) -> None:
        for relay in list(self.relays):
            relay.look(now)
        for descriptor, until in list(self.asking.items()):
            if now >= until:
                self._hang_up(descriptor)
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
            if self._open:
                self.loop.watch(self._listener.fileno(), self._accept)

    def _retired(self, _events: int) -> None:
        self._open = False
        self.loop.forget(self._life)
        if not self._paused_until:
            self.loop.forget(self._listener.fileno())
        self._listener.close()

    def _accept(self, _events: int) -> None:
        for _turn in range(EVENTS):
            if len(self.relays) + len(self.asking) >= self._most:
                self._pause(b"too many connections")
                return
            try:
                peer = self._listener.accept()
            except OSError as error:
                self._pause(b"unable to accept connections: " + reason(error))
                return
            if peer is None:
                return
            if peer.uid not in self._callers:
                say(b"user %d may not ask" % peer.uid)
                os.close(peer.descriptor)
                continue
            self.asking[peer.descriptor] = clock.monotonic() + ASKING
            self.loop.watch(peer.descriptor, partial(self._asked, peer.descriptor))

    def _pause(self, why: bytes) -> None:
        say(why)
        self.loop.forget(self._listener.fileno())
        self._paused_until = clock.monotonic() + PAUSE

    def _hang_up(self, descriptor: int) -> None:
        del self.asking[descriptor]
        self.loop.forget(descriptor)
        os.close(descriptor)

    def _asked(self, descriptor: int, _events: int) -> None:
        # A program passes a connection, with one line.
        link = passing.link(descriptor)
        try:
            line, passed = link.receive()
            seconds = tlsfacts.seconds(line)
        except BlockingIOError:
            return
        except (OSError, tlsfacts.Broken):
            passed, seconds = [], 0
        finally:
            link.detach()
        if len(passed) != 1 or not sockets.is_tcp(passed[0]):
            passing.close_all(passed)
            self._hang_up(descriptor)
            return
        del self.asking[descriptor]
        self.loop.forget(descriptor)
        Connection(self, descriptor, passed[0], seconds)

    def accept(self) -> tls.Stream:
        """The server's side of a new conversation."""
        return self._keys.accept()


class Connection:
    """One client's, for the log and its program (host.tlsrelay.Teller)."""

    def __init__(self, server: Service, asking: int, client: int, seconds: int) -> None:
        self._server = server
        try:
            self._who = b"%b %d" % sockets.remote(client)
        except OSError:
            self._who = b"a client that is gone"
        relay = Relay(server.loop, server.accept(), client, asking, seconds, self)
        server.relays.add(relay)

    def shaken(self, stream: tls.Stream) -> bytes:
        """The line for the program, and one for the log."""
        protocol, cipher, bits = stream.facts()
        name = tlsfacts.server_name(stream.name)
        facts = tlsfacts.Facts(protocol.encode(), cipher.encode(), b"%d" % bits, name)
        self.say(f"{protocol} {cipher} {name.decode()}")
        return facts.line

    def refused(self, reason: str) -> bytes:
        """The line for the program."""
        return tlsfacts.refusal(reason)

    def say(self, words: str) -> None:
        """One line for the log."""
        say(self._who + b": " + words.encode("ascii", "replace"))

    def over(self, relay: Relay) -> None:
        """The connection is closed."""
        self._server.relays.discard(relay)
