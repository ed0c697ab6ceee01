"""qmail-queued: the only writer of new messages.

qmail-queue, and what stands in its place, hand their messages to it: so nothing needs to be setuid.
Usage: qmail-queued [-s]

    exec qmail-queued        # a run script; where it is no service, qmail-start starts one

    -s  a stand-in, as qmail-start starts it: it asks one of another version to end first, and ends
        for one that is started without -s, such as a service that came up later
Behaviour:
Listens at a socket for every local user; the kernel says who it is, and that is written into the
message. Nobody is told that a message was accepted before it is durable; messages that become complete
together share the waits for the disk. qmail-send is told of each. A user who is not qmail's own has a
share of the connections, and all those users together a quarter. A message may take 24 hours to
arrive; at most 64 KiB of one are held in memory. Started by root it becomes qmailq.
Files: QMAIL_HOME/qq: socket, lock; queue/: pid, mess, intd, todo.
Signals: TERM: it ends what is under way within 10 seconds, and exits. HUP: then it starts itself anew.
Runs as: qmailq.
Faces: every local user.
Exit codes: 0 after TERM; 100 usage; 111 another one is running, or it cannot start.
"""

from __future__ import annotations

import os
from functools import partial

from qmail.formats import envelope
from qmail.formats.verdict import Temporary, Usage
from qmail.host import clock, execute, fds, identity, localsocket, loop, program, sandbox, signals, title
from qmail.protocols import submit
from qmail.protocols.submit import Stage
from qmail.rules.shares import Shares, Turns
from qmail.stores import confinement, queuedlock, trigger
from qmail.stores import home as homes
from qmail.stores.arrival import Refused
from qmail.stores.door import Door
from qmail.stores.intake import Desk, Intake
from qmail.stores.notes import Notes
from qmail.stores.queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.arrival import Arrival
    from qmail.stores.home import Home

READ = 32768  # bytes of one client a turn
HELD = 32768  # bytes of a message in memory, from which on it goes to its file; with READ, 64 KiB
EVENTS = 128  # clients read between two commits
BATCH = 128  # messages of one commit
GRACE = 10.0  # seconds after TERM for what is under way
SWEEP = 60.0  # seconds between looks for overdue messages
SPARE = 32  # descriptors kept for ourselves
MOST = 4096  # clients, however many descriptors there are: each may hold 64 KiB of our memory
EACH = 3  # descriptors of one client: its socket, mess/N, intd/N

TIMEOUT, BUSY = 52, 71  # qmail-queue's exit codes


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if argv[1:] not in ([], [b"-s"]):
        raise Usage(b"qmail-queued: usage: qmail-queued [ -s ]")
    home = homes.find(argv[0], environ)
    fds.standard_open()
    title.show(b"qmail-queued")
    _become(home)
    os.umask(0o033)
    lock = _lock(home, argv[1:])
    caught = signals.catch((signals.TERM, signals.INT, signals.HUP))
    server = Server(home, caught)
    sandbox.enter(confinement.acceptance(home))
    again = server.run()
    if again:
        os.close(lock)
        try:
            execute.replace([home.program(b"qmail-queued"), *argv[1:]], environ)
        except OSError as error:
            raise Temporary(b"unable to start anew: " + os.fsencode(error.strerror or str(error))) from error
    return 0


def _become(home: Home) -> None:
    if os.geteuid() == 0:
        try:
            identity.become(*home.account(b"qmailq"))
        except OSError as error:
            raise Temporary(b"unable to become qmailq: " + os.fsencode(error.strerror or str(error))) from error


def _lock(home: Home, options: list[bytes]) -> int:
    try:
        lock = queuedlock.take(home, stand_in=options == [b"-s"])
    except OSError as error:
        raise Temporary(b"unable to lock qq/lock: " + os.fsencode(error.strerror or str(error))) from error
    if lock is None:
        raise Temporary(b"cannot start: qmail-queued is already running")
    return lock


class Client:
    """One connection, and the message on it."""

    __slots__ = ("descriptor", "intake", "pid", "talk", "uid")

    def __init__(self, peer: localsocket.Peer) -> None:
        self.descriptor, self.uid, self.pid = peer.descriptor, peer.uid, peer.pid
        self.talk = submit.Incoming()
        self.intake: Intake | None = None


class Server:
    """The socket, the clients, and the door to the queue."""

    def __init__(self, home: Home, caught: int) -> None:
        self.queue = Queue(home.queue)
        self.door = Door(self.queue)
        self.notes = Notes(home.file(b"qs/notes"), home.queue)
        self.desk = Desk(home)
        self.shares = Shares(min((fds.most() - SPARE) // EACH, MOST), self.desk.busy | {os.geteuid(), 0})
        self.turns: Turns[Client] = Turns()
        self.clients: dict[int, Client] = {}
        self.loop = loop.Loop()
        self.caught = caught
        self.loop.watch(caught, self.signalled)
        self.listener = localsocket.Listener(home.file(b"qq/socket"), 0o666)
        self.loop.watch(self.listener.fileno(), self.accept)
        trigger.pull(home.queue)  # whoever was here before us may have died between an answer and its note
        self.stopping = self.again = False
        self.end = 0.0
        self.paused_until = 0.0

    def run(self) -> bool:
        """Accept until told to stop. True: start anew."""
        sweep = clock.monotonic() + SWEEP
        while not self.stopping or (self.clients and clock.monotonic() < self.end):
            self.loop.round(0 if self.turns else 1.0 if self.stopping or self.paused_until else SWEEP, EVENTS)
            if self.turns:
                self.commit()
            now = clock.monotonic()
            if self.paused_until and now >= self.paused_until:
                self.paused_until = 0.0
                self.loop.watch(self.listener.fileno(), self.accept)
            if now >= sweep:
                sweep = now + SWEEP
                self.sweep(now)
        for client in list(self.clients.values()):
            self.hang_up(client)
        return self.again

    def signalled(self, _events: int) -> None:
        """TERM, INT or HUP."""
        came = signals.arrived(self.caught)
        if came and not self.stopping:
            self.stop(again=signals.HUP in came)

    def stop(self, *, again: bool) -> None:
        """Take no new messages; end when those under way have ended. `again`: to start anew."""
        self.stopping, self.again = True, again
        self.end = clock.monotonic() + GRACE
        self.loop.forget(self.listener.fileno())
        self.listener.close()
        self.paused_until = 0.0
        for client in list(self.clients.values()):
            if client.talk.stage == Stage.IDLE:
                self.hang_up(client)

    def sweep(self, now: float) -> None:
        """Refuse the messages that take too long. Start anew where our socket is not what clients find."""
        for client in list(self.clients.values()):
            if client.intake is not None and now > client.intake.due and client.talk.stage == Stage.BEGUN:
                self.refuse(client, Refused(TIMEOUT))
        if not self.stopping and not self.listener.is_found():
            self.stop(again=True)

    # ---- clients come, speak and go

    def accept(self, _events: int) -> None:
        """Take new connections."""
        for _turn in range(EVENTS):
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
                os.close(peer.descriptor)
                continue
            client = Client(peer)
            self.clients[peer.descriptor] = client
            self.loop.watch(peer.descriptor, partial(self.read, client))

    def read(self, client: Client, _events: int) -> None:
        """What one client has to say, one turn of it."""
        if client.talk.stage == Stage.COMMITTED:
            return  # it waits for its answer
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
        os.close(client.descriptor)
        del self.clients[client.descriptor]
        self.shares.give_back(client.uid)

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
        elif client.talk.stage >= Stage.COMMITTED:
            client.talk.answered()

    # ---- messages become files

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

    def commit(self) -> None:
        """Make a batch of whole messages durable, answer them all, and tell qmail-send."""
        ready: list[tuple[Client, Intake]] = []
        batch: list[Arrival] = []
        for client in self.turns.take(BATCH):
            arrival, intake = self.put(client), client.intake
            if arrival is not None and intake is not None:
                if intake.whole:
                    ready.append((client, intake))
                    batch.append(arrival)
                else:
                    self.refuse(client, Refused(envelope.UNFINISHED))
        if not batch:
            return
        refusals = self.door.commit(batch)
        for (client, intake), refused in zip(ready, refusals, strict=True):
            if refused is None:
                client.intake = None
                self.answer(client, submit.answer(0, intake.qp))
            else:
                intake.arrival = None  # its files are gone already
                self.refuse(client, refused)
        accepted = [arrival for arrival, refused in zip(batch, refusals, strict=True) if refused is None]
        if accepted:
            self.notes.send(accepted)
        for arrival in accepted:
            arrival.close()

    def say(self, text: bytes, error: OSError) -> None:
        """One line on descriptor 2, unless that would make us wait."""
        reason = b"%b: %b" % (os.fsencode(error.filename or b""), os.fsencode(error.strerror or str(error)))
        fds.write_if_ready(2, program.line(b"qmail-queued: %b: %b" % (text, reason.removeprefix(b": "))))


def _write(descriptor: int, answer: bytes) -> bool:
    try:
        return os.write(descriptor, answer) == len(answer)
    except OSError:
        return False
