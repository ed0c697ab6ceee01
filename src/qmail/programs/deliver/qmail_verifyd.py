"""qmail-verifyd: asks other hosts whether they have a recipient, before mail for him is taken.

Who takes mail for a host behind it, and cannot list the recipients there, lets that
host say who is one: call-forward.

Usage: qmail-verifyd

    exec setuidgid qmailr qmail-verifyd      # a run script

control/callforward names the domains, one a line, `.suffix` for all hosts below:

    echo example.net >> /var/qmail/control/callforward

Behaviour:
Listens at qr/verify, where qmail-rcptd asks about recipients at these domains. The
servers are those that qmail-remote would send the mail to, by its smtproutes or
their mail exchangers, its tlspolicy included; one of them is told MAIL FROM:<> and
RCPT TO, and then QUIT. A recipient is unknown where it answers RCPT with a code of
500 or more. Whatever else happens is a doubt, and in doubt he is taken: it says to
try again later, does not take MAIL from nobody, cannot be found or reached.

That he is there is remembered for an hour, that he is not for 5 minutes, a doubt
for one minute, of 20,000 recipients; the oldest are forgotten first. A host that
did not answer, or took no MAIL, is not asked again for a minute. At most 20
questions are under way, 2 of them with the same servers. An answer that does not
come within 1.5 seconds comes too late for the message that waits for it, which is
taken, and is remembered for the next one; after 30 seconds it is given up.
A second qmail-verifyd for the same home exits 111.

Each question is asked by a process of its own, which is confined as qmail-remote is.

Environment: DNSCACHEIP names servers to ask where no qmail-dns runs.
Files: qr/verify, qr/verify.lock; control/: me, helohost, smtproutes, smtpcredentials,
timeoutconnect, timeoutremote, qmtproutes, tlspolicy, tlstrust.pem, outgoingip,
sourceaddresses; queue/lock/tcpto.
Runs as: qmailr.
Faces: the servers of other hosts; only root, qmailp and qmailr may ask.
Exit codes: 100 usage; 111 another one runs, or the socket cannot be made.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from functools import partial

from qmail.formats import address as addresses
from qmail.formats.verdict import Usage
from qmail.host import fds, sandbox, signals, title
from qmail.host.clock import monotonic
from qmail.host.errand import Errand
from qmail.host.localsocket import STREAM
from qmail.host.loop import Loop
from qmail.protocols.recipients import TAKEN, TROUBLE, UNKNOWN, UNTOLD, parts
from qmail.stores import answering, asking, confinement, home, listening
from qmail.stores.control import Control
from qmail.stores.nexthop import NextHops
from qmail.stores.remotecontrols import Failure, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from qmail.host.localsocket import Listener
    from qmail.rules.smtproutes import Route
    from qmail.stores.answering import Client
    from qmail.stores.control import Stamp

    Wanting = tuple[Client, int]  # and the tag of its question

NAME = b"qmail-verifyd"
LOCK = b"qr/verify.lock"
MOST_CLIENTS = 100
MOST_RUNNING = 20  # questions to other hosts
MOST_AT_HOP = 2  # of them with the same servers
MOST_WAITING = 1000  # recipients to be asked for
MOST_KNOWN = 20_000  # recipients
MOST_RESTING = 1000  # hosts that are not asked for a while
GOOD_FOR = {TAKEN: 3600.0, UNKNOWN: 300.0, UNTOLD: 60.0}  # seconds that an answer is remembered
REST = 60.0  # seconds without questions for a host that did not answer
LONGEST = 30  # seconds for a question
CONNECTING = 10  # seconds for a connection, where timeoutconnect allows more
_LETTERS = {b"r": TAKEN, b"h": UNKNOWN, b"s": UNTOLD}  # of the record about a recipient (protocols.smtpclient)


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) > 1:
        raise Usage(b"qmail-verifyd: usage: qmail-verifyd")
    where = home.find(argv[0], environ)
    fds.standard_open()
    listener = listening.begin(where, NAME, LOCK, asking.HOPS, 0o666, STREAM)
    title.show(NAME)
    fds.most()
    may_ask = frozenset((0, os.geteuid(), where.account(b"qmailp")[0]))
    service = Service(where, listener, environ, may_ask)
    sandbox.prepare()
    gc.freeze()
    sandbox.enter(confinement.outgoing_smtp(where, forks=True))
    service.run()


class Probe:
    """A recipient that is asked for, or is to be, at `route`. `wanting`: who wants to know."""

    __slots__ = ("recipient", "route", "wanting")

    def __init__(self, recipient: bytes, route: Route) -> None:
        self.recipient, self.route = recipient, route
        self.wanting: list[Wanting] = []


class Service:
    """The loop: questions in, processes that ask other hosts, and what is known from before."""

    def __init__(
        self, where: home.Home, listener: Listener, environ: Mapping[bytes, bytes], may_ask: frozenset[int]
    ) -> None:
        self._home, self._environ, self._control = where, environ, Control(where.path)
        self._loop = Loop()
        self._settings: Settings | None = None
        self._stamps: list[Stamp] = []
        self._known: dict[bytes, tuple[float, bytes]] = {}  # recipient: until when, verdict; the oldest first
        self._resting: dict[tuple[bytes, int, bool], float] = {}  # key of a route: until when
        self._probes: dict[bytes, Probe] = {}  # by recipient: all of them
        self._waiting: list[Probe] = []  # those that are not asked for yet
        self._running: list[Probe] = []
        self._patience: deque[tuple[float, Probe, Wanting]] = deque()  # until when who waits for it
        answering.Clients(self._loop, listener, may_ask, self._verdict, MOST_CLIENTS)

    def run(self) -> NoReturn:
        """For ever."""
        while True:
            self._begin()
            self._loop.round(max(self._patience[0][0] - monotonic(), 0.0) if self._patience else None)
            while self._patience and self._patience[0][0] <= monotonic():
                _, probe, wanting = self._patience.popleft()
                if wanting in probe.wanting:
                    self._too_late(probe, wanting)

    def _verdict(self, client: Client, tag: int, text: bytes) -> bytes | None:
        recipient = _spelled(parts(text)[0])
        until, known = self._known.get(recipient, (0.0, UNTOLD))
        if until > monotonic():
            return known
        probe = self._probes.get(recipient)
        if probe is None:
            try:
                route = self._routed(recipient)
            except Failure:
                return UNTOLD
            rests = self._resting.get(route.key, 0.0) > monotonic()
            if rests or route.qmtp or len(self._waiting) >= MOST_WAITING:
                return UNTOLD  # QMTP has no question without a message
            probe = self._probes[recipient] = Probe(recipient, route)
            self._waiting.append(probe)
        probe.wanting.append((client, tag))
        self._patience.append((monotonic() + asking.WITHIN, probe, (client, tag)))
        return None

    def _routed(self, recipient: bytes) -> Route:
        """Where it is asked for. Raises Failure."""
        stamps = self._control.stamps(Settings.FILES)
        if self._settings is None or stamps != self._stamps:
            # Stamps first: what changes while it is read is read again.
            self._settings, self._stamps = None, stamps
            self._settings = Settings(self._home)
            self._settings.timeout_connect = min(self._settings.timeout_connect, CONNECTING)
            self._settings.timeout = min(self._settings.timeout, LONGEST)
        return self._settings.route(recipient.rpartition(b"@")[2])

    def _too_late(self, probe: Probe, wanting: Wanting) -> None:
        probe.wanting.remove(wanting)
        wanting[0].answer(wanting[1], UNTOLD)
        if not probe.wanting and probe in self._waiting:
            # Hosts that let us wait are not to keep others from being asked.
            self._waiting.remove(probe)
            del self._probes[probe.recipient]

    def _begin(self) -> None:
        # The first that may be asked for; others wait for their hosts.
        for probe in list(self._waiting) if len(self._running) < MOST_RUNNING else ():
            if sum(other.route.key == probe.route.key for other in self._running) < MOST_AT_HOP:
                self._waiting.remove(probe)
                self._ask(probe)
                if len(self._running) >= MOST_RUNNING:
                    break

    def _ask(self, probe: Probe) -> None:
        settings = self._settings
        if settings is None or self._resting.get(probe.route.key, 0.0) > monotonic():
            self._over(probe, UNTOLD)
            return
        try:
            errand = Errand(partial(_asked, self._home, self._environ, settings, probe.route, probe.recipient))
        except OSError:
            self._over(probe, UNTOLD)
            return
        self._running.append(probe)
        self._loop.watch(errand.descriptor, partial(self._told, probe, errand))

    def _told(self, probe: Probe, errand: Errand, _events: int) -> None:
        self._loop.forget(errand.descriptor)
        self._running.remove(probe)
        verdict = errand.result() or TROUBLE
        if verdict != TROUBLE:
            self._over(probe, verdict)
            return
        if len(self._resting) >= MOST_RESTING:
            self._resting.clear()
        self._resting[probe.route.key] = monotonic() + REST
        self._over(probe, UNTOLD)

    def _over(self, probe: Probe, verdict: bytes) -> None:
        self._probes.pop(probe.recipient, None)
        self._known.pop(probe.recipient, None)
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[probe.recipient] = monotonic() + GOOD_FOR[verdict], verdict
        wanting, probe.wanting = probe.wanting, []
        for client, tag in wanting:
            client.answer(tag, verdict)


def _spelled(recipient: bytes) -> bytes:
    """The recipient, with his host in lower case."""
    local, at, host = recipient.rpartition(b"@")
    return local + at + host.lower()


def _asked(
    where: home.Home, environ: Mapping[bytes, bytes], settings: Settings, route: Route, recipient: bytes
) -> bytes:
    """In a process of its own: what the servers say; TROUBLE where they say nothing of the recipient."""
    signals.default(signals.ALRM)
    signals.alarm(LONGEST)
    sandbox.enter(confinement.outgoing_smtp(where))
    written = addresses.mailbox(recipient, international=True)
    if written is None:
        return UNTOLD
    hops = NextHops(where, environ, extended=True)
    try:
        needs = hops.needs(settings, recipient.rpartition(b"@")[2])
        session = hops.send(settings, route, needs, lambda fresh: fresh.ask(written))
    except (Failure, OSError):
        return TROUBLE
    verdict = _LETTERS.get(session.report[:1], TROUBLE)
    session.close()
    return verdict
