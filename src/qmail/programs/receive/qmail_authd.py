"""qmail-authd: says whether somebody who logs in is who it says.

The server that talks to a client sees no file of passwords, and this program sees
no mail.

Usage: qmail-authd

    exec setuidgid qmailp qmail-authd        # a run script

Behaviour:
Listens at qp/login, where qmail-smtpd asks. Clients log in by SCRAM-SHA-256,
PLAIN or LOGIN with a name and a password of users/passwords (qmail password NAME
sets one), which must belong to qmailp; it is read again when it has changed.

Where the first line of control/logins is `checker`, qmail-checkpwd is asked instead,
whose checker knows accounts of the system, or what it likes; without SCRAM then.
That file is read at the start (svc -t).

Where there is a control/userlimits, qmail-smtpd asks before each message of a
user, and it is counted here, for all who take mail: so many messages and
recipients in an hour, which begins with a message. What the queue does not take
is counted all the same. What was counted is forgotten when qmail-authd ends, and
for the oldest of more than 20,000 users.

A name that is unknown is answered as one with a wrong password is, after the same
work. From the third failure on, the next attempts from that address wait, at most
30 seconds; so do those for that account from addresses where it has not logged in
before. Nobody is locked out. Of more than 20 that wait for one address, the rest
is told to try again later. A second qmail-authd for the same home exits 111.

Files: qp/login, qp/login.lock; users/passwords; control/: logins, userlimits;
    ql/checkpw.
Runs as: qmailp.
Faces: what strangers say to log in; only root, qmaild and qmailp may ask.
Exit codes: 100 usage; 111 another one runs, or the socket cannot be made.
"""

from __future__ import annotations

import base64
import gc
import heapq
import os
import pwd
from functools import partial

from qmail.formats.verdict import Temporary, Usage
from qmail.host import fds, program, sandbox, title
from qmail.host.clock import monotonic
from qmail.host.localsocket import Listener
from qmail.host.loop import Loop
from qmail.protocols import checkpw, login, sasl
from qmail.rules.loginpace import Pace
from qmail.stores import checkpwdoor, confinement, home, listening, loginsource
from qmail.stores.control import Control
from qmail.stores.passwords import PasswordFile, Trouble
from qmail.stores.userlimits import UserLimits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = b"qmail-authd: usage: qmail-authd"
SOCKET, LOCK = b"qp/login", b"qp/login.lock"
MOST_CLIENTS = 1000
MOST_WAITING = 20  # logins from one address that wait
PATIENCE = 300.0  # seconds for a login
NONCE = 18  # bytes of chance in a SCRAM exchange
_OURS = ("root", "qmaild")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) > 1:
        raise Usage(USAGE)
    where = home.find(argv[0], environ)
    source = loginsource.source(Control(where.path))
    listener = listening.begin(where, b"qmail-authd", LOCK, SOCKET, 0o666)
    title.show(b"qmail-authd")
    fds.most()
    service = Service(where, listener, source)
    gc.freeze()
    sandbox.enter(confinement.logins(where, asks=source == loginsource.CHECKER))
    service.run()


class Attempt:
    """One client that logs in."""

    __slots__ = ("address", "descriptor", "due", "exchange", "question")

    def __init__(self, descriptor: int, due: float) -> None:
        self.descriptor, self.due = descriptor, due
        self.address = b""
        self.exchange: sasl.Exchange | None = None
        self.question: sasl.Step | None = None  # what waits until it may be looked at


class Service:
    """The loop: packets in, steps of the exchanges, and what has to wait."""

    def __init__(self, where: home.Home, listener: Listener, source: bytes) -> None:
        self._loop, self._listener = Loop(), listener
        self._mechanisms = loginsource.MECHANISMS[source]
        self._checkers = checkpwdoor.Door(self._loop, where) if source == loginsource.CHECKER else None
        self._passwords, self._pace = PasswordFile(where), Pace()
        self._may_ask = _may_ask(where)
        self._limits = UserLimits(Control(where.path))
        self._attempts: dict[int, Attempt] = {}
        self._waiting: list[tuple[float, int, Attempt]] = []  # when, and the order of coming
        self._by_address: dict[bytes, int] = {}  # how many of these wait
        self._count = 0
        self._loop.watch(listener.fileno(), self._accept)

    def run(self) -> NoReturn:
        """For ever."""
        while True:
            now = monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                _, _, attempt = heapq.heappop(self._waiting)
                self._release(attempt)
                if attempt.question is not None:
                    self._look(attempt, attempt.question)
            for attempt in [each for each in self._attempts.values() if each.due <= now]:
                self._hang_up(attempt)
            if self._checkers is not None:
                self._checkers.look(now)
            self._loop.round(min(max(self._waiting[0][0] - monotonic(), 0.0), 1.0) if self._waiting else 1.0)

    def _accept(self, _events: int) -> None:
        try:
            peer = self._listener.accept()
        except OSError:
            return
        if peer is None:
            return
        if peer.uid not in self._may_ask or len(self._attempts) >= MOST_CLIENTS:
            fds.write_if_ready(peer.descriptor, login.TROUBLE)
            os.close(peer.descriptor)
            return
        attempt = self._attempts[peer.descriptor] = Attempt(peer.descriptor, monotonic() + PATIENCE)
        self._loop.watch(peer.descriptor, partial(self._read, attempt))

    def _read(self, attempt: Attempt, _events: int) -> None:
        try:
            packet = os.read(attempt.descriptor, login.LONGEST + 1)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet or len(packet) > login.LONGEST or attempt.question is not None:
            self._hang_up(attempt)
            return
        try:
            if packet[:1] == login.COUNT and attempt.exchange is None:
                self._end(attempt, self._counted(*login.parse_count(packet)))
                return
            self._step(attempt, self._heard(attempt, packet))
        except login.Broken:
            self._hang_up(attempt)

    def _counted(self, user: bytes, recipients: int) -> bytes:
        try:
            refused = self._limits.spend(user, recipients, monotonic())
        except Temporary as error:
            fds.write_if_ready(2, program.line(b"qmail-authd: alert: " + error.text))
            return login.TROUBLE
        if refused is None:
            return login.DONE
        return login.NEVER + b"%d" % refused.most if refused.seconds is None else login.LATER + b"%d" % refused.seconds

    def _heard(self, attempt: Attempt, packet: bytes) -> sasl.Step:
        if attempt.exchange is None:
            attempt.address, mechanism, initial = login.parse_begin(packet)
            if mechanism not in self._mechanisms:
                return sasl.Failed(malformed=True)
            attempt.exchange = sasl.Exchange(mechanism, base64.b64encode(os.urandom(NONCE)))
            return attempt.exchange.begin(initial)
        if packet[:1] != login.RESPONSE:
            raise login.Broken("this answers nothing")
        return attempt.exchange.heard(packet[1:])

    def _step(self, attempt: Attempt, step: sasl.Step) -> None:
        now = monotonic()
        if isinstance(step, sasl.Challenge):
            self._tell(attempt, login.CHALLENGE + step.text)
        elif isinstance(step, sasl.Done):
            self._pace.succeeded(step.name, attempt.address)
            self._end(attempt, login.DONE + step.name)
        elif isinstance(step, sasl.Failed):
            if attempt.exchange is not None and attempt.exchange.name:
                self._pace.failed(attempt.exchange.name, attempt.address, now)
            self._end(attempt, login.MALFORMED if step.malformed else login.REFUSED)
        elif wait := self._pace.wait(step.name, attempt.address, now):
            self._put_off(attempt, step, now + wait)
        else:
            self._look(attempt, step)

    def _put_off(self, attempt: Attempt, step: sasl.Step, when: float) -> None:
        held = self._by_address.get(attempt.address, 0)
        if held >= MOST_WAITING:
            self._end(attempt, login.TROUBLE)
            return
        self._by_address[attempt.address] = held + 1
        self._count += 1
        attempt.question = step
        heapq.heappush(self._waiting, (when, self._count, attempt))

    def _release(self, attempt: Attempt) -> None:
        held = self._by_address.pop(attempt.address) - 1
        if held:
            self._by_address[attempt.address] = held

    def _look(self, attempt: Attempt, step: sasl.Step) -> None:
        """Answer what the exchange asks."""
        attempt.question, exchange = None, attempt.exchange
        if exchange is None or attempt.descriptor < 0:
            return
        try:
            if isinstance(step, sasl.Password) and self._checkers is not None:
                self._ask(self._checkers, attempt, exchange, step)
                return
            if isinstance(step, sasl.Password):
                step = exchange.decided(self._passwords.check(step.name, step.password) is not None)
            elif isinstance(step, sasl.Wanted):
                step = exchange.keyed(self._passwords.keys(step.name))
        except Trouble as trouble:
            fds.write_if_ready(2, program.line(b"qmail-authd: alert: " + str(trouble).encode()))
            self._end(attempt, login.TROUBLE)
            return
        self._step(attempt, step)

    def _ask(self, checkers: checkpwdoor.Door, attempt: Attempt, exchange: sasl.Exchange, step: sasl.Password) -> None:
        # Held to have failed until the answer comes: else many could be tried at once, before one has failed.
        self._pace.failed(step.name, attempt.address, monotonic())
        attempt.question = step

        def told(verdict: bytes) -> None:
            attempt.question = None
            if verdict == checkpw.TROUBLE:
                self._pace.forgiven(step.name, attempt.address, monotonic())
                self._end(attempt, login.TROUBLE)
            elif verdict == checkpw.YES:
                self._pace.forgiven(step.name, attempt.address, monotonic())
                self._step(attempt, exchange.decided(True))
            else:
                self._end(attempt, login.REFUSED)

        checkers.ask(attempt.address, step.name, step.password, told)

    def _end(self, attempt: Attempt, verdict: bytes) -> None:
        self._tell(attempt, verdict)
        self._hang_up(attempt)

    def _tell(self, attempt: Attempt, packet: bytes) -> None:
        if attempt.descriptor >= 0:
            fds.write_if_ready(attempt.descriptor, packet)

    def _hang_up(self, attempt: Attempt) -> None:
        if attempt.descriptor >= 0:
            self._loop.forget(attempt.descriptor)
            os.close(attempt.descriptor)
            del self._attempts[attempt.descriptor]
            attempt.descriptor, attempt.question = -1, None


def _may_ask(where: home.Home) -> frozenset[int]:
    found = {where.account(b"qmailp")[0], os.geteuid()}
    for name in _OURS:
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            pass  # single-user mode
    return frozenset(found)
