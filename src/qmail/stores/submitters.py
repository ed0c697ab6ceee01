"""Those who bring messages to qmail-queued: local users at its socket, their words, shares and answers.

A message comes in frames (protocols/submit); what gathers of it goes to its files. When it is whole its client
waits, in turn with those of other users, for a batch to be made durable, and then for its answer.
"""

from __future__ import annotations

import os
from functools import partial

from qmail.formats import envelope
from qmail.host import clock, fds, localsocket, program
from qmail.protocols import submit
from qmail.protocols.submit import Stage
from qmail.rules.shares import Shares, Turns
from qmail.stores.arrival import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.host.loop import Loop
    from qmail.stores.arrival import Arrival
    from qmail.stores.door import Door
    from qmail.stores.intake import Desk, Intake

READ = 32768  # bytes of one client a turn
HELD = 32768  # bytes of a message in memory, from which on it goes to its file; READ and an envelope: 80 KiB
AT_ONCE = 128  # connections taken in a row
SPARE = 32  # descriptors kept for ourselves
MOST = 4096  # clients, however many descriptors there are: each may hold 80 KiB of our memory
EACH = 3  # descriptors of one client: its socket, the message, the envelope

TIMEOUT, BUSY = 52, 71  # qmail-queue's exit codes


class Client:
    """One connection, and the message on it."""

    __slots__ = ("descriptor", "intake", "muted", "pid", "talk", "uid")

    def __init__(self, peer: localsocket.Peer) -> None:
        self.descriptor, self.uid, self.pid = peer.descriptor, peer.uid, peer.pid
        self.talk = submit.Incoming()
        self.intake: Intake | None = None
        self.muted = False  # it has more to say, and is to have its answer first


class Submitters:
    """The socket, and its clients. `turns`: those whose messages are whole."""

    def __init__(self, loop: Loop, path: bytes, desk: Desk, door: Door) -> None:
        self.loop, self.desk, self.door = loop, desk, door
        self.shares = Shares(min((fds.most() - SPARE - door.held) // EACH, MOST), desk.busy | {os.geteuid(), 0})
        self.turns: Turns[Client] = Turns()
        self.clients: dict[int, Client] = {}
        self.listener = localsocket.Listener(path, 0o666)
        self.loop.watch(self.listener.fileno(), self.accept)
        self.paused_until = 0.0
        self.stopping = False

    @property
    def paused(self) -> bool:
        """Are new ones left outside for a moment?"""
        return self.paused_until > 0

    @property
    def found(self) -> bool:
        """Is our socket the one that clients find?"""
        return self.listener.is_found()

    def go_on(self, now: float) -> None:
        """Let them in again, when the moment is over."""
        if self.paused_until and now >= self.paused_until:
            self.paused_until = 0.0
            self.loop.watch(self.listener.fileno(), self.accept)

    def stop(self) -> None:
        """No new ones, and no new messages."""
        self.stopping = True
        self.loop.forget(self.listener.fileno())
        self.listener.close()
        self.paused_until = 0.0
        for client in list(self.clients.values()):
            if client.talk.stage == Stage.IDLE:
                self.hang_up(client)

    def refuse_overdue(self, now: float) -> None:
        """Refuse the messages that take too long."""
        for client in list(self.clients.values()):
            if client.intake is not None and now > client.intake.due and client.talk.stage == Stage.BEGUN:
                self.refuse(client, Refused(TIMEOUT))

    # ---- clients come, speak and go

    def accept(self, _events: int) -> None:
        """Take new connections."""
        for _turn in range(AT_ONCE):
            try:
                peer = self.listener.accept()
            except OSError as error:
                # No descriptors: those who are here go on, the others wait outside.
                self.say(b"unable to accept connections", error)
                self.loop.forget(self.listener.fileno())
                self.paused_until = clock.monotonic() + 1.0
                return
            if peer is None:
                return
            if not self.shares.admit(peer.uid):
                _write(peer.descriptor, submit.answer(BUSY, 0))
                fds.let_go(peer.descriptor)
                continue
            client = Client(peer)
            self.clients[peer.descriptor] = client
            self.loop.watch(peer.descriptor, partial(self.read, client))

    def read(self, client: Client, _events: int) -> None:
        """What one client has to say, one turn of it."""
        if client.talk.stage == Stage.COMMITTED:
            # The loop would tell us of it again and again.
            self.loop.forget(client.descriptor)
            client.muted = True
            return
        try:
            data = os.read(client.descriptor, READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.hang_up(client)
            return
        self.listen(client, data)

    def listen(self, client: Client, data: bytes) -> None:
        """Act on what was read."""
        talk = client.talk
        try:
            stage = talk.feed(data)
        except submit.Broken:
            self.hang_up(client)
            return
        if stage == Stage.COMMITTED:
            self.turns.add(client.uid, client)
        elif stage == Stage.ABANDONED:
            self.refuse(client, Refused(envelope.UNFINISHED))
        elif stage == Stage.BEGUN:
            self.intake(client)
            if talk.held > HELD:
                self.put(client)

    def hang_up(self, client: Client) -> None:
        """Forget a client; what it had begun goes."""
        if client.intake is not None:
            client.intake.end(envelope.UNFINISHED)
        self.loop.forget(client.descriptor)
        fds.let_go(client.descriptor)
        del self.clients[client.descriptor]
        self.shares.give_back(client.uid)

    def hang_up_all(self) -> None:
        """Forget everybody."""
        for client in list(self.clients.values()):
            self.hang_up(client)

    # ---- messages become files, and are answered

    def intake(self, client: Client) -> Intake:
        """The message that a client brings."""
        if client.intake is None:
            client.intake = self.desk.begin(client.uid, client.pid if client.talk.program else None)
        return client.intake

    def put(self, client: Client) -> Arrival | None:
        """Write what has gathered of a message. None where it had to be refused."""
        try:
            return self.intake(client).put(self.door, *client.talk.take())
        except Refused as refused:
            self.refuse(client, refused)
            return None

    def ready(self, most: int) -> list[tuple[Client, Arrival]]:
        """The next messages that are whole, each with who waits for its answer."""
        found: list[tuple[Client, Arrival]] = []
        for client in self.turns.take(most):
            arrival, intake = self.put(client), client.intake
            if arrival is not None and intake is not None:
                try:
                    if not intake.whole:
                        raise Refused(envelope.UNFINISHED)
                    intake.complete()
                    found.append((client, arrival))
                except Refused as refused:
                    self.refuse(client, refused)
        return found

    def tell(self, client: Client, refused: Refused | None) -> None:
        """The message of a client is durable, or it was refused and its files are gone."""
        intake = self.intake(client)
        if refused is None:
            client.intake = None
            self.answer(client, submit.answer(0, intake.qp))
        else:
            intake.arrival = None
            self.refuse(client, refused)

    def refuse(self, client: Client, refused: Refused) -> None:
        """Answer a message that is not to be queued, perhaps before it has ended."""
        if refused.error is not None:
            self.say(b"alert: unable to queue a message (%d)" % refused.code, refused.error)
        intake, client.intake = client.intake, None
        if intake is not None:
            intake.end(refused.code)
        if client.talk.stage == Stage.BEGUN:
            client.talk.refuse()
        self.answer(client, submit.answer(refused.code, intake.qp if intake else 0, full=refused.full))

    def answer(self, client: Client, answer: bytes) -> None:
        """Send the one answer to a message; whoever does not read it is dropped."""
        if not _write(client.descriptor, answer) or self.stopping:
            self.hang_up(client)
            return
        if client.talk.stage >= Stage.COMMITTED:
            client.talk.answered()
        if client.muted:
            client.muted = False
            self.loop.watch(client.descriptor, partial(self.read, client))

    def say(self, text: bytes, error: OSError) -> None:
        """One line on descriptor 2, unless that would make us wait."""
        reason = b"%b: %b" % (os.fsencode(error.filename or b""), os.fsencode(error.strerror or str(error)))
        fds.write_if_ready(2, program.line(b"qmail-queued: %b: %b" % (text, reason.removeprefix(b": "))))


def _write(descriptor: int, answer: bytes) -> bool:
    try:
        return os.write(descriptor, answer) == len(answer)
    except OSError:
        return False
