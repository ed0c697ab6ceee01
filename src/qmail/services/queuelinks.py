"""Messages on their way to qmail-queued from a loop that must not wait, over connections that are kept.

A message takes a connection of its own, and only when it is whole or has outgrown 64 KiB: slow
clients cost qmail-queued nothing, and a small message goes out in one write. What goes wrong is an
outcome like any other. Each message that was begun gets exactly one answer; then its connection
serves the next.
"""

from __future__ import annotations

import os
from collections import deque

from qmail.formats.besides import extension
from qmail.formats.envelope import envelope
from qmail.host import localsocket
from qmail.host.loop import READ, WRITE
from qmail.protocols import submit
from qmail.stores.submission import CUT_OFF, Outcome, unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.formats.mailparameters import Parameters
    from qmail.host.loop import Loop
    from qmail.stores.home import Home

HELD = 65536  # bytes of a message that are gathered before they are sent
MOST = 200  # connections; more messages at once wait for one of them
RETRY = 0.05  # seconds until qmail-queued is asked again that had no room for a connection

_BEGIN = submit.frame(submit.BEGIN)
_COMMIT = submit.frame(submit.COMMIT)
_ABANDON = submit.frame(submit.ABANDON)


class Message:
    """One message. `told` is called with its outcome once it is finished; `room` when more may be written."""

    __slots__ = ("_begun", "_failed", "_link", "_links", "_pieces", "_room", "_size", "_tail", "_told")

    def __init__(self, links: Links, told: Callable[[Outcome], None], room: Callable[[], None]) -> None:
        self._links, self._told, self._room = links, told, room
        self._link: Link | None = None
        self._failed: Outcome | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._tail = b""  # the envelope and the end, once the message is finished
        self._begun = False  # it has a connection, or has asked for one

    def write(self, data: bytes) -> bool:
        """Bytes of the message. False: no more, please, until `room` is called."""
        if self._failed is not None:
            return True  # it is lost already, and the client hears of it at the end
        self._pieces.append(data)
        self._size += len(data)
        if self._size < HELD:
            return True
        self._push()
        return self._failed is not None or (self._link is not None and not self._link.congested)

    def finish(self, sender: bytes, recipients: Sequence[bytes], asked: Parameters | None) -> None:
        """The message is whole, and this is its envelope. `asked`: what goes with it."""
        if self._failed is not None:
            self._told(self._failed)
            return
        text = envelope(sender, recipients, extension(asked))
        self._tail = b"".join([*submit.frames(submit.ENVELOPE, text), _COMMIT])
        self._push()

    def abandon(self) -> None:
        """The message came to nothing. Neither `told` nor `room` is called any more."""
        self._links.forget(self)
        if self._link is not None:
            self._link.abandon(finished=bool(self._tail))

    def _push(self) -> None:
        if self._link is not None:
            self._link.send(self._frames())
        elif not self._begun:
            self._begun = True
            self._links.ask(self)

    def _frames(self) -> bytes:
        # What is to be sent now.
        pieces, size = self._pieces, self._size
        self._pieces, self._size = [], 0
        if size > submit.LARGEST:
            return b"".join([*submit.frames(submit.MESSAGE, b"".join(pieces)), self._tail])
        return b"".join([submit.MESSAGE, size.to_bytes(4, "big"), *pieces, self._tail])

    # ---- for Links and Link

    def granted(self, link: Link) -> None:
        """A connection is free for this message."""
        self._link = link
        link.send(_BEGIN + self._frames())
        if not link.congested:
            self.drained()

    def drained(self) -> None:
        """Everything that was sent has left."""
        if not self._tail:
            self._room()

    def answered(self, outcome: Outcome) -> bool:
        """The answer, or what stands for it. False where it came before the message was finished."""
        self._link = None
        if self._tail:
            self._told(outcome)
            return True
        self._failed, self._pieces = outcome, []
        self._room()
        return False


class Link:
    """One connection, and the message that has it."""

    __slots__ = ("_descriptor", "_links", "_out", "_reader", "owner", "pending")

    def __init__(self, links: Links, descriptor: int) -> None:
        self._links, self._descriptor = links, descriptor
        self._out = b""
        self._reader = submit.Reader()
        self.owner: Message | None = None
        self.pending = False  # an answer is to come
        links.loop.watch(descriptor, self._ready)

    @property
    def congested(self) -> bool:
        """Is there something that qmail-queued has not taken yet?"""
        return bool(self._out)

    def send(self, data: bytes) -> None:
        """Send, now or as soon as there is room."""
        if self._out:
            self._out += data
            return
        try:
            sent = os.write(self._descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._read()  # there may be an answer that says why
            return
        if sent < len(data):
            self._out = data[sent:]
            self._links.loop.watch(self._descriptor, self._ready, READ | WRITE)

    def abandon(self, finished: bool) -> None:
        """Its message came to nothing."""
        self.owner = None
        if not finished:
            self.send(_ABANDON)

    def close(self) -> None:
        """Hang up; its message, if it has one, is cut off."""
        if self._descriptor >= 0:
            self._links.loop.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._links.closed(self)
            owner, self.owner = self.owner, None
            if owner is not None:
                owner.answered(Outcome(CUT_OFF))

    def _ready(self, events: int) -> None:
        if events & ~WRITE:
            self._read()
        if events & WRITE and self._out:
            self._write()

    def _write(self) -> None:
        try:
            self._out = self._out[os.write(self._descriptor, self._out) :]
        except BlockingIOError:
            return
        except OSError:
            self._read()
            return
        if not self._out:
            self._links.loop.watch(self._descriptor, self._ready)
            if self.owner is not None:
                self.owner.drained()
            elif not self.pending:
                self._links.free(self)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._reader.feed(data)
        try:
            while (frame := self._reader.next()) is not None:
                code, qp = submit.parse_answer(frame[1])
                self._answer(Outcome(code, qp=qp, full=submit.is_full(frame[1])))
        except submit.Broken:
            self.close()

    def _answer(self, outcome: Outcome) -> None:
        if not self.pending:
            raise submit.Broken("an answer to nothing")
        self.pending = False
        owner, self.owner = self.owner, None
        if owner is not None and not owner.answered(outcome):
            self.send(_ABANDON)
        if not self._out and self._descriptor >= 0:
            self._links.free(self)


class Links:
    """All connections of one process."""

    def __init__(self, loop: Loop, home: Home) -> None:
        self.loop, self._home = loop, home
        self._all: set[Link] = set()
        self._idle: list[Link] = []
        self._waiting: deque[Message] = deque()

    @property
    def waiting(self) -> bool:
        """Does a message wait for a connection? Then `retry` is to be called after RETRY seconds."""
        return bool(self._waiting)

    def ask(self, message: Message) -> None:
        """A message needs a connection, now or later."""
        if self._idle and not self._waiting:
            self._grant(self._idle.pop(), message)
            return
        self._waiting.append(message)
        self.retry()

    def retry(self) -> None:
        """Connect for those who wait, as far as that is possible."""
        while self._waiting and len(self._all) < MOST:
            try:
                descriptor = localsocket.connect(self._home.file(b"qq/socket"))
            except BlockingIOError:
                return
            except OSError:
                if self._all:
                    return  # those at work will be free again
                self._waiting.popleft().answered(unreachable(self._home))
                continue
            link = Link(self, descriptor)
            self._all.add(link)
            self._grant(link, self._waiting.popleft())

    def forget(self, message: Message) -> None:
        """A message wants no connection any more."""
        if message in self._waiting:
            self._waiting.remove(message)

    def free(self, link: Link) -> None:
        """A connection has nothing to do."""
        if self._waiting:
            self._grant(link, self._waiting.popleft())
        else:
            self._idle.append(link)

    def closed(self, link: Link) -> None:
        """A connection is gone."""
        self._all.discard(link)
        if link in self._idle:
            self._idle.remove(link)

    def _grant(self, link: Link, message: Message) -> None:
        link.owner, link.pending = message, True
        message.granted(link)
