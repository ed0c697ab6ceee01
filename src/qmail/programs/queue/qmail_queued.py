"""qmail-queued: the only writer of new messages.

qmail-queue, and what stands in its place, hand their messages to it: so nothing needs to be setuid.
Usage: qmail-queued [-s]

    exec qmail-queued        # a run script; where it is no service, qmail-start starts one

    -s  a stand-in, as qmail-start starts it: it asks one of another version to end first, and ends
        for one that is started without -s, such as a service that came up later
Behaviour:
Listens at a socket for every local user; the kernel says who it is, and that is written into the
message. Nobody is told that a message was accepted before it is durable; messages that become complete
together share the waits for the disk, and where several came a moment ago the first one waits for the
others, for 20 milliseconds at most. qmail-send is told of each. A user who is not qmail's own has a
share of the connections, and all those users together a quarter. A message may take 24 hours to
arrive; at most 80 KiB of one are held in memory. Started by root it becomes qmailq.
Files: QMAIL_HOME/qq: socket, lock; queue/: pid, mess, intd, todo, spare.
Signals: TERM: it ends what is under way within 10 seconds, and exits. HUP: then it starts itself anew.
Runs as: qmailq.
Faces: every local user.
Exit codes: 0 after TERM; 100 usage; 111 another one is running, or it cannot start.
"""

from __future__ import annotations

import math
import os

from qmail.formats.verdict import Temporary, Usage
from qmail.host import clock, execute, fds, identity, loop, sandbox, signals, title
from qmail.rules.barriers import Gathering
from qmail.stores import confinement, queuedlock, trigger
from qmail.stores import home as homes
from qmail.stores.door import Door
from qmail.stores.intake import Desk
from qmail.stores.notes import Notes
from qmail.stores.queue import Queue
from qmail.stores.submitters import Submitters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.arrival import Arrival
    from qmail.stores.home import Home
    from qmail.stores.submitters import Client

EVENTS = 128  # clients read between two commits
BATCH = 128  # messages of one commit
GRACE = 10.0  # seconds after TERM for what is under way
SWEEP = 60.0  # seconds between looks for overdue messages


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
    signals.ignore(signals.IO)  # somebody opens a file while we ask who has it open
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


class Server:
    """Those who bring messages, the door to the queue, and qmail-send, which is told."""

    def __init__(self, home: Home, caught: int) -> None:
        self.loop = loop.Loop()
        self.door = Door(Queue(home.queue), homes.Launcher(home, b"qmail-lspawn").is_own)
        self.notes = Notes(home.file(b"qs/notes"), home.queue)
        self.caught = caught
        self.loop.watch(caught, self.signalled)
        self.submitters = Submitters(self.loop, home.file(b"qq/socket"), Desk(home), self.door)
        trigger.pull(home.queue)  # whoever was here before us may have died between an answer and its note
        self.whole: list[tuple[Client, Arrival]] = []  # the next batch
        self.gathering = Gathering()
        self.stopping = self.again = False
        self.end = 0.0

    def run(self) -> bool:
        """Accept until told to stop. True: start anew."""
        submitters = self.submitters
        sweep = clock.monotonic() + SWEEP
        while not self.stopping or (submitters.clients and clock.monotonic() < self.end):
            self.loop.round(self.patience(), EVENTS)
            if submitters.turns or self.whole:
                self.take()
            now = clock.monotonic()
            submitters.go_on(now)
            if now >= sweep:
                sweep = now + SWEEP
                self.sweep(now)
        submitters.hang_up_all()
        self.door.spares.tidy(math.inf)
        return self.again

    def patience(self) -> float:
        """For how long there is nothing to do, if nobody says anything."""
        if self.submitters.turns:
            return 0.0
        now = clock.monotonic()
        if self.whole:
            return self.gathering.wait(len(self.whole), now)
        return 1.0 if self.stopping or self.submitters.paused else SWEEP

    def take(self) -> None:
        """Write the messages that have become whole, and commit them when nobody else is to be waited for."""
        if not self.whole:
            self.gathering.begun(clock.monotonic())
        self.whole += self.submitters.ready(BATCH - len(self.whole))
        if self.whole and (len(self.whole) == BATCH or not self.gathering.wait(len(self.whole), clock.monotonic())):
            self.commit()

    def signalled(self, _events: int) -> None:
        """TERM, INT or HUP."""
        came = signals.arrived(self.caught)
        if came and not self.stopping:
            self.stop(again=signals.HUP in came)

    def stop(self, *, again: bool) -> None:
        """Take no new messages; end when those under way have ended. `again`: to start anew."""
        self.stopping, self.again = True, again
        self.end = clock.monotonic() + GRACE
        self.submitters.stop()

    def sweep(self, now: float) -> None:
        """Refuse the messages that take too long. Start anew where our socket is not what clients find."""
        self.submitters.refuse_overdue(now)
        self.door.spares.tidy(now)
        if not self.stopping and not self.submitters.found:
            self.stop(again=True)

    def commit(self) -> None:
        """Make a batch of whole messages durable, answer them all, and tell qmail-send."""
        ready, self.whole = self.whole, []
        begin = clock.monotonic()
        refusals = self.door.commit([arrival for _, arrival in ready])
        took = clock.monotonic() - begin
        self.loop.round(0, EVENTS)  # before anybody is answered: who came meanwhile, these not among them
        self.gathering.committed(len(ready), len(self.submitters.turns), took)
        for (client, _), refused in zip(ready, refusals, strict=True):
            self.submitters.tell(client, refused)
        accepted = [arrival for (_, arrival), refused in zip(ready, refusals, strict=True) if refused is None]
        if accepted:
            self.notes.send(accepted)
        self.door.release(accepted)
        self.door.spares.stock()
