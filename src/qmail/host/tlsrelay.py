"""One TLS connection between two descriptors: ciphertext on the network's side, plain text on the program's.

In a loop that never waits. At most HELD bytes and one read of each way are in memory; a side that takes
nothing is the reason why the other is not read from.
"""

from __future__ import annotations

import _socket
import os

from qmail.host import tls
from qmail.host.clock import monotonic
from qmail.host.loop import GONE, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from qmail.host.loop import Loop

    class Teller(Protocol):
        """What a relay says of itself, and to whom."""

        def shaken(self, stream: tls.Stream) -> bytes:
            """The handshake is over: the line for the program."""

        def refused(self, reason: str) -> bytes:
            """It failed: the line for the program."""

        def say(self, words: str) -> None:
            """Words for the log."""

        def over(self, relay: Relay) -> None:
            """Nothing of it is left."""


HELD = 65536  # bytes for a side that does not take them
BLOCK = 16384  # bytes read at once
LINGER = 5.0  # seconds for a client to hear the last of it
FLUSH = 60.0  # seconds for a client to take what the program has left behind

SHAKING, OPEN, ENDING, OVER = range(4)


class Side:
    """A descriptor, what waits to be written there, and whether it is at its end."""

    __slots__ = ("callback", "descriptor", "ended", "mask", "socket", "waiting")

    def __init__(self, descriptor: int, callback: Callable[[int], None]) -> None:
        self.socket = _socket.socket(fileno=descriptor)
        self.descriptor, self.callback = descriptor, callback
        self.waiting = b""
        self.ended = False  # nothing more comes from there
        self.mask = -1  # what the loop watches it for; -1: it does not

    def flush(self) -> None:
        """Write what it takes. Raises OSError."""
        if self.waiting:
            try:
                self.waiting = self.waiting[os.write(self.descriptor, self.waiting) :]
            except BlockingIOError:
                pass

    def read(self) -> bytes | None:
        """What has come, b"" at the end; None: nothing. A connection that broke is at its end."""
        try:
            data = os.read(self.descriptor, BLOCK)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self.ended = not data
        return data

    def shut(self) -> None:
        """Let the other end see that nothing more follows."""
        try:
            self.socket.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # it is gone


class Relay:
    """The connection, from the handshake to its end.

    Both descriptors are its own from now on. `seconds`: for the handshake.
    """

    def __init__(
        self, loop: Loop, stream: tls.Stream, network: int, program: int, seconds: int, teller: Teller
    ) -> None:
        self._loop, self._stream, self._teller = loop, stream, teller
        os.set_blocking(network, False)
        os.set_blocking(program, False)
        self._network = Side(network, lambda events: self._happened(self._network, events, self._heard))
        self._program = Side(program, lambda events: self._happened(self._program, events, self._told))
        self._stage = SHAKING
        self._deadline = monotonic() + seconds
        self._heard_all = False  # nothing more is for the program
        self._told_all = False  # nothing more is for the client
        self._pump()

    def look(self, now: float) -> None:
        """To be called now and then: end what takes too long."""
        if now < self._deadline or self._stage == OVER:
            return
        if self._stage == SHAKING:
            self._fail("the handshake takes too long")
            self._guarded(self._pump)
        else:
            if self._network.waiting:
                self._teller.say("the client does not read")
            self.drop()

    def drop(self) -> None:
        """End at once."""
        if self._stage == OVER:
            return
        self._stage = OVER
        for side in (self._network, self._program):
            if side.mask >= 0:
                self._loop.forget(side.descriptor)
            side.socket.close()
        self._teller.over(self)

    def _happened(self, side: Side, events: int, act: Callable[[bytes], None]) -> None:
        if side.mask & READ and events & ~WRITE:
            data = side.read()
            if data is not None:
                act(data)
        elif events & GONE:
            if side is self._network:
                self.drop()
                return
            # Nothing more can be written there; what waits there to be read may have to wait longer.
            self._loop.forget(side.descriptor)
            side.mask, side.waiting, self._heard_all = -1, b"", True
        self._guarded(self._pump)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError:
            self.drop()  # the client is gone

    def _heard(self, data: bytes) -> None:
        # From the client.
        if self._stage == ENDING:
            return
        self._stream.receive(data)
        if self._stage == SHAKING:
            try:
                if not self._stream.shake():
                    return
            except tls.Broken as error:
                self._fail(str(error))
                return
            self._stage, self._deadline = OPEN, float("inf")
            self._program.waiting = self._teller.shaken(self._stream)

    def _told(self, data: bytes) -> None:
        # From the program.
        if not data:
            if self._stage == OPEN:
                self._stream.close()
            self._end(FLUSH)
        elif self._stage == OPEN:
            try:
                self._stream.write(data)
            except tls.Broken as error:
                self._fail(str(error))

    def _end(self, seconds: float) -> None:
        self._stage, self._deadline = ENDING, monotonic() + seconds
        self._program.waiting, self._heard_all = b"", True

    def _fail(self, reason: str) -> None:
        self._teller.say(reason)
        if self._stage == SHAKING:
            self._program.waiting = self._teller.refused(reason)
        self._feed()
        self._program.shut()
        self._end(LINGER)

    def _feed(self) -> bool:
        # Give the program what it takes. False: nothing now.
        before = len(self._program.waiting)
        try:
            self._program.flush()
        except OSError:
            # It is gone; what it said at last is still to be read.
            self._program.waiting, self._heard_all = b"", True
        return len(self._program.waiting) < before

    def _decrypt(self) -> None:
        while self._stage == OPEN and not self._heard_all and len(self._program.waiting) < HELD:
            try:
                data = self._stream.read()
            except tls.Ended as end:
                if not end.properly:
                    self._teller.say("the client closed without close_notify")
                self._network.ended = self._heard_all = True
                return
            except tls.Broken as error:
                self._fail(str(error))
                return
            if not data:
                return
            self._program.waiting += data

    def _pump(self) -> None:
        """Move what can be moved, then say what is waited for. Raises OSError where the client is gone."""
        network, program = self._network, self._program
        self._decrypt()
        while self._stage == OPEN and program.waiting and self._feed():
            self._decrypt()
        if self._stage == OPEN and network.ended and not program.waiting:
            program.shut()
        network.waiting += self._stream.output()
        network.flush()
        if self._stage == ENDING and not network.waiting:
            if network.ended:
                self.drop()
                return
            if not self._told_all:
                self._told_all, self._deadline = True, monotonic() + LINGER
                network.shut()
        # A client that does not read is not read from.
        hungry = len(network.waiting) < HELD
        self._watch(network, not network.ended and hungry and len(program.waiting) < HELD, bool(network.waiting))
        # During the handshake, the program has nothing to say but that it is gone.
        self._watch(program, self._stage != ENDING and not program.ended and hungry, bool(program.waiting))

    def _watch(self, side: Side, read: bool, write: bool) -> None:
        mask = (READ if read else 0) | (WRITE if write else 0)
        if mask != side.mask and (mask or side.mask >= 0):
            self._loop.watch(side.descriptor, side.callback, mask)
            side.mask = mask
