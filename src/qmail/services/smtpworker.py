"""One warm qmail-smtpd process: many SMTP sessions in one loop that never waits for any of them.

The server hands over connections, one packet each, with SCM_RIGHTS:

    number of the session in decimal NUL variable=value NUL variable=value ...

and hears of each end, many to a packet: number (8 bytes), raw wait status (4). When the server's end of
the socket reaches EOF, nothing new comes, and the worker ends with its last session.

Each client gets one turn, then the next client: one command, or 64 KiB. A client that does not read
its replies is not read from, nor is one whose message waits for the queue.
"""

from __future__ import annotations

import _socket
import os
import sys
from collections import deque
from struct import Struct

from qmail.formats.verdict import Temporary
from qmail.host import clock, fds, program
from qmail.host.loop import GONE, WRITE, Loop
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpserver import ABANDON, BEGIN, COMMIT, CONTENT, OVER, TURN, WAIT, Session
from qmail.services import queuelinks
from qmail.stores import reception, submission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from qmail.protocols.smtpserver import Site
    from qmail.stores.control import Control
    from qmail.stores.home import Home

END = Struct(">QI")  # number of a session, raw wait status
LARGEST_ORDER = 65536  # bytes of one packet from the server
BLOCK = 65536  # bytes of one client a turn
TURNS = 16  # turns of those who have sent more, between two looks for others
PATIENCE = 64  # turns after which a client's replies are written though it has sent more
SWEEP = 1.0  # seconds between looks for clients that keep us waiting
FAILED = 1 << 8  # raw wait status
_ROOM_FOR_ONE = _socket.CMSG_SPACE(4)


def run(control: _socket.socket, home: Home, settings: Control) -> NoReturn:
    """Serve what comes over the `control` socket until it ends. The process ends with it."""
    try:
        Worker(control, home, settings).run()
    except BaseException as error:
        _complain(error)
        os._exit(111)
    os._exit(0)


class Conversation:
    """One client: its descriptor, its session, and the message it is sending.

    `_busy`: it is not to be read from, since a turn of it or an answer of the queue is to come.
    `_out`: what it has not taken of our replies.
    """

    __slots__ = (
        "_busy", "_committed", "_descriptor", "_message", "_muted", "_out", "_over", "_session",
        "_timeout", "_turns", "_worker", "deadline", "number",
    )  # fmt: skip

    def __init__(self, worker: Worker, descriptor: int, number: int, session: Session, timeout: int) -> None:
        self._worker, self._descriptor, self.number, self._session = worker, descriptor, number, session
        self._timeout, self._turns, self._out = timeout, 0, b""
        self._busy = self._committed = self._muted = self._over = False
        self._message: queuelinks.Message | None = None
        self.deadline = clock.monotonic() + timeout

    def greet(self) -> None:
        """Begin."""
        self._worker.loop.watch(self._descriptor, self.ready)
        self._write(self._session.greeting)

    def ready(self, events: int) -> None:
        """Something happened on the connection."""
        try:
            if self._out:
                self._write(b"")
            elif self._busy:
                self._mute(events)
            else:
                self._read()
        except Exception as error:
            self._broken(error)

    def turn(self) -> None:
        """One more turn, for a client that has sent more than one."""
        try:
            if self._descriptor >= 0:
                self._wake()
                self._turn()
        except Exception as error:
            self._broken(error)

    def expire(self) -> None:
        """The client, or the queue, has kept us waiting for too long."""
        if self._committed:
            self._give_up_message()
            self._answered(submission.Outcome(submission.TIMED_OUT))
        elif self._out or self._over:
            self.close(FAILED)
        else:
            self._session.timed_out()
            self.turn()
            self.close(FAILED)

    def close(self, status: int) -> None:
        """The session is over."""
        if self._descriptor >= 0:
            self._worker.loop.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._give_up_message()
            self._worker.ended(self, status)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, BLOCK)
        except BlockingIOError:
            return
        except OSError:
            self.close(FAILED)
            return
        self.deadline = clock.monotonic() + self._timeout
        self._session.receive(data)
        self._turn()

    def _turn(self) -> None:
        session = self._session
        event = session.turn()
        if event > TURN and not self._event(event):
            return
        if event == WAIT or not session.more:
            self._write(session.replies())
        else:
            self._take_turns()

    def _event(self, event: int) -> bool:
        # What a command or a block leads to. False: the session does not go on now.
        session = self._session
        if event == BEGIN:
            self._message = queuelinks.Message(self._worker.links, self._answered, self._room)
            session.begin(int(clock.now()))
            self._message.write(session.content)
        elif event == CONTENT and self._message is not None:
            self._busy = not self._message.write(session.content)
        elif event == COMMIT and self._message is not None:
            self._busy = self._committed = True
            self.deadline = clock.monotonic() + submission.PATIENCE
            self._message.write(session.content)
            self._message.finish(session.sender, session.recipients)
            return False
        elif event == ABANDON:
            self._give_up_message()
        elif event == OVER:
            self._over = True
            self._write(session.replies())
            return False
        return not self._busy

    def _take_turns(self) -> None:
        # The next turn of this client comes after those of the others.
        self._turns += 1
        if self._turns % PATIENCE == 0:
            self._write(self._session.replies())
        if not self._out and self._descriptor >= 0:
            self._busy = True
            self._worker.later.append(self)

    def _write(self, text: bytes) -> None:
        # What the client does not take now waits, and the client is not read from meanwhile.
        waited = bool(self._out)
        text = self._out + text
        if text:
            try:
                self._out = text[os.write(self._descriptor, text) :]
            except BlockingIOError:
                self._out = text
            except OSError:
                self.close(FAILED)
                return
        if self._out:
            if not waited:
                self._worker.loop.watch(self._descriptor, self.ready, WRITE)
            return
        if self._over:
            self.close(self._session.code << 8)
            return
        if waited:
            self.deadline = clock.monotonic() + self._timeout
            self._worker.loop.watch(self._descriptor, self.ready)
            if self._session.more:
                self._take_turns()

    def _room(self) -> None:
        # The message may be written on.
        if self._busy and not self._committed and self._message is not None:
            self._wake()
            self._take_turns()

    def _answered(self, outcome: submission.Outcome) -> None:
        self._message, self._committed = None, False
        if outcome.code == 0:
            self._session.accepted(outcome.qp, int(clock.now()))
        else:
            self._session.refuse(reply.reply_to(submission.words(outcome)))
        self.deadline = clock.monotonic() + self._timeout
        self._wake()
        if self._session.more:
            self._take_turns()
        else:
            self._write(self._session.replies())

    def _mute(self, events: int) -> None:
        # Level-triggered events of a client that is not to be read from would wake us again and again.
        self._muted = True
        if events & GONE:
            self._worker.loop.forget(self._descriptor)
        else:
            self._worker.loop.watch(self._descriptor, self.ready, 0)

    def _wake(self) -> None:
        self._busy = False
        if self._muted:
            self._muted = False
            self._worker.loop.watch(self._descriptor, self.ready)

    def _give_up_message(self) -> None:
        message, self._message = self._message, None
        if message is not None:
            message.abandon()

    def _broken(self, error: Exception) -> None:
        _complain(error)
        self.close(111 << 8)


class Worker:
    """The loop, and everybody in it."""

    def __init__(self, control: _socket.socket, home: Home, settings: Control) -> None:
        self.loop = Loop()
        self.links = queuelinks.Links(self.loop, home)
        self.later: deque[Conversation] = deque()
        self._control = control
        self._watched = reception.Watched(settings)
        self._site: Site | None = None  # of this round
        self._conversations: set[Conversation] = set()
        self._ended = bytearray()
        self._closing = False
        self.loop.watch(control.fileno(), self._orders)

    def run(self) -> None:
        """Until the server is gone and the last session over."""
        sweep = 0.0
        while not self._closing or self._conversations:
            self.loop.round(self._longest(sweep))
            self._site = None
            for _ in range(TURNS):
                for _ in range(len(self.later)):
                    self.later.popleft().turn()
            now = clock.monotonic()
            if now >= sweep:
                self._sweep(now)
                sweep = now + SWEEP
            if self.links.waiting:
                self.links.retry()
            if self._ended:
                self._tell()

    def ended(self, conversation: Conversation, status: int) -> None:
        """A session is over; the server will hear of it in this round."""
        self._conversations.discard(conversation)
        self._ended += END.pack(conversation.number, status)

    def _longest(self, sweep: float) -> float | None:
        if self.later:
            return 0
        if self.links.waiting or self._ended:
            return queuelinks.RETRY
        return max(0, sweep - clock.monotonic()) if self._conversations else None

    def _orders(self, _events: int) -> None:
        try:
            order, ancillary, _flags, _address = self._control.recvmsg(LARGEST_ORDER, _ROOM_FOR_ONE)
        except BlockingIOError:
            return
        except OSError:
            order = b""
        if order:
            for _level, _kind, data in ancillary:
                self._begin(int.from_bytes(data[:4], sys.byteorder), order)
        else:
            self._closing = True
            self.loop.forget(self._control.fileno())

    def _begin(self, descriptor: int, order: bytes) -> None:
        number, *variables = order.split(b"\0")
        os.set_blocking(descriptor, False)
        try:
            site = self._site = self._site or self._watched.site()
        except Temporary:
            fds.write_if_ready(descriptor, reply.UNREADABLE)
            os.close(descriptor)
            self._ended += END.pack(int(number), FAILED)
            return
        environ = dict(variable.split(b"=", 1) for variable in variables)
        session = Session(site, reception.client(environ))
        conversation = Conversation(self, descriptor, int(number), session, site.timeout)
        self._conversations.add(conversation)
        conversation.greet()

    def _sweep(self, now: float) -> None:
        for conversation in list(self._conversations):
            if conversation.deadline <= now:
                conversation.expire()

    def _tell(self) -> None:
        try:
            os.write(self._control.fileno(), self._ended)
        except BlockingIOError:
            return  # in the next round
        except OSError:
            pass  # nobody is there to hear it
        self._ended.clear()


def _complain(error: BaseException) -> None:
    fds.write_if_ready(2, program.last_words(b"qmail-smtpd", error)[1])
