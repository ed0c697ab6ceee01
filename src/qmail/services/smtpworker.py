"""One warm qmail-smtpd process: many SMTP sessions in one loop that never waits for any of them.

The server hands over connections, one packet each, with SCM_RIGHTS:

    number of the session in decimal NUL variable=value NUL variable=value ...

and hears of each end, many to a packet: number (8 bytes), raw wait status (4). When the server's end of
the socket reaches EOF, nothing new comes, and the worker ends with its last session.
"""

from __future__ import annotations

import _socket
import os
import sys
from collections import deque
from struct import Struct

from qmail.formats.verdict import Temporary
from qmail.host import clock, fds
from qmail.host.loop import Loop
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpserver import Session
from qmail.services import queuelinks
from qmail.services.smtpconversation import FAILED, Conversation, complain
from qmail.stores import asking, reception, tlsdoor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from qmail.protocols.smtpsite import Site
    from qmail.services.smtpsurroundings import Held
    from qmail.stores.control import Control
    from qmail.stores.home import Home

END = Struct(">QI")  # number of a session, raw wait status
LARGEST_ORDER = 65536  # bytes of one packet from the server
TURNS = 16  # turns of those who have sent more, between two looks for others
SWEEP = 1.0  # seconds between looks for clients that keep us waiting
_ROOM_FOR_ONE = _socket.CMSG_SPACE(4)


def run(control: _socket.socket, home: Home, settings: Control) -> NoReturn:
    """Serve what comes over the `control` socket until it ends. The process ends with it."""
    try:
        Worker(control, home, settings).run()
    except BaseException as error:
        complain(error)
        os._exit(111)
    os._exit(0)


class Worker:
    """The loop, and everybody in it."""

    def __init__(self, control: _socket.socket, home: Home, settings: Control) -> None:
        self.loop = Loop()
        self.links = queuelinks.Links(self.loop, home)
        self.asker = asking.Asker(self.loop, home.file(asking.RECIPIENTS))
        self.later: deque[Held] = deque()
        self.home, self._control = home, control
        self._watched = reception.Watched(settings)
        self._site: Site | None = None  # of this round
        self._conversations: set[Held] = set()
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
            self.asker.tick()
            now = clock.monotonic()
            if now >= sweep:
                self._sweep(now)
                sweep = now + SWEEP
            if self.links.waiting:
                self.links.retry()
            if self._ended:
                self._tell()

    def ended(self, conversation: Held, status: int) -> None:
        """A session is over; the server will hear of it in this round."""
        self._conversations.discard(conversation)
        self._ended += END.pack(conversation.number, status)

    def _longest(self, sweep: float) -> float | None:
        if self.later:
            return 0
        if self.links.waiting or self._ended:
            return queuelinks.RETRY
        if not self._conversations:
            return None
        left, rest = max(0, sweep - clock.monotonic()), self.asker.rest()
        return left if rest is None else min(left, rest)

    def _orders(self, _events: int) -> None:
        try:
            order, ancillary, _flags, _address = self._control.recvmsg(LARGEST_ORDER, _ROOM_FOR_ONE)
        except BlockingIOError:
            return
        except OSError:
            order = b""
        if ancillary:
            self._begin(int.from_bytes(ancillary[0][2][:4], sys.byteorder), order)
        elif order:
            # We have no descriptor left for it, and the kernel has hung up.
            self._ended += END.pack(int(order.partition(b"\0")[0]), FAILED)
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
        client = reception.client(environ, tls=tlsdoor.is_there(self.home))
        session = Session(site, client, b"%d.%b" % (os.getpid(), number))
        conversation = Conversation(self, descriptor, int(number), session, site.timeout)
        self._conversations.add(conversation)
        conversation.greet()

    def _sweep(self, now: float) -> None:
        for conversation in list(self._conversations):
            conversation.look(now)

    def _tell(self) -> None:
        try:
            os.write(self._control.fileno(), self._ended)
        except BlockingIOError:
            return  # in the next round
        except OSError:
            pass  # nobody is there to hear it
        self._ended.clear()
