"""qmail-checkpwd: runs a checker of the checkpassword kind for those who log in to send.

For submission with accounts of the system, by PAM, LDAP or whatever a checker
knows. qmail-authd, which asks, starts no program itself; this one speaks to no
client.

Usage: qmail-checkpwd [-u ACCOUNT] CHECKER [ARGUMENT...]

    exec qmail-checkpwd checkpassword true     # a run script

    -u  run CHECKER as this account, once the socket is made; by default as root

CHECKER is checkpassword or another one of its kind, and the last of its ARGUMENTs
what it runs where the password is right: `true`. It must end by itself.

Behaviour:
Where the first line of control/logins is `checker`, qmail-authd asks here, at
ql/checkpw, about each name and password; clients may then log in by PLAIN and LOGIN
only, since a checker must see the password. CHECKER finds name, password and a
time stamp on descriptor 3, each ended by NUL, in at most 512 bytes; 0 and 1 are
/dev/null, and what it says on 2 goes to the log. Exit code 0 lets in, 1 does not;
any other end is a failure that may pass, and is logged.

At most 20 run at once, 200 more wait, and others are told to try again. One that
has run for 60 seconds is killed, with all its process group.

Environment: PATH, to find CHECKER, which gets this environment, and in it
TCPREMOTEIP, the client's address.
Files: ql/checkpw, ql/checkpw.lock.
Runs as: root, so that CHECKER may see /etc/shadow; or ACCOUNT.
Faces: what strangers say to log in; only qmailp may ask.
Exit codes: 100 usage, no such account; 111 another one runs, or the socket cannot
    be made.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from functools import partial

from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import execute, fds, identity, program, signals, title
from qmail.host.clock import monotonic, now
from qmail.host.localsocket import Listener
from qmail.host.loop import Loop
from qmail.host.reasons import reason
from qmail.protocols import checkpw
from qmail.stores import home, listening

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = b"qmail-checkpwd: usage: qmail-checkpwd [ -u account ] checker [ argument ... ]"
SOCKET, LOCK = b"ql/checkpw", b"ql/checkpw.lock"
LONGEST = 512  # bytes on descriptor 3
MOST_RUNNING = 20
MOST_WAITING = 200
PATIENCE = 60.0  # seconds for a checker
QUESTION = 10.0  # seconds for one who has connected to ask


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        found, checker = options(argv[1:], b"u:")
    except Wrong:
        raise Usage(USAGE) from None
    if not checker:
        raise Usage(USAGE)
    where = home.find(argv[0], environ)
    account = _account(found[-1][1]) if found else None
    listener = listening.begin(where, b"qmail-checkpwd", LOCK, SOCKET, 0o666)
    if account is not None and account != (os.geteuid(), os.getegid()):
        try:
            identity.become(*account)
        except OSError as error:
            raise Temporary(b"unable to become the account of -u: " + reason(error)) from error
    title.show(b"qmail-checkpwd")
    service = Service(listener, where.account(b"qmailp")[0], checker, environ)
    gc.freeze()
    service.run()


class Question:
    """One who asks. `due`: when what is under way must be over; `handle`: of the checker that runs."""

    __slots__ = ("address", "descriptor", "due", "handle", "pid", "said")

    def __init__(self, descriptor: int, due: float) -> None:
        self.descriptor, self.due = descriptor, due
        self.address = self.said = b""
        self.pid, self.handle = 0, -1


class Service:
    """The loop: questions in, checkers at work, answers out."""

    def __init__(self, listener: Listener, asker: int, checker: list[bytes], environ: dict[bytes, bytes]) -> None:
        self._loop, self._listener, self._asker = Loop(), listener, asker
        self._checker, self._environ = checker, environ
        self._asking: dict[int, Question] = {}  # by descriptor: these have not said it yet
        self._waiting: deque[Question] = deque()
        self._running: dict[int, Question] = {}  # by handle
        self._loop.watch(listener.fileno(), self._accept)

    def run(self) -> NoReturn:
        """For ever."""
        while True:
            self._loop.round(1.0)
            moment = monotonic()
            for question in [each for each in self._asking.values() if each.due <= moment]:
                self._answer(question, b"")
            for question in [each for each in self._running.values() if each.due <= moment]:
                question.due = moment + PATIENCE
                fds.write_if_ready(2, b"qmail-checkpwd: alert: the checker ran for %d seconds\n" % PATIENCE)
                signals.send_group(question.pid, signals.KILL)

    def _accept(self, _events: int) -> None:
        try:
            peer = self._listener.accept()
        except OSError:
            return
        if peer is None:
            return
        if peer.uid != self._asker or len(self._asking) + len(self._waiting) >= MOST_WAITING:
            fds.write_if_ready(peer.descriptor, checkpw.TROUBLE)
            os.close(peer.descriptor)
            return
        question = self._asking[peer.descriptor] = Question(peer.descriptor, monotonic() + QUESTION)
        self._loop.watch(peer.descriptor, partial(self._read, question))

    def _read(self, question: Question, _events: int) -> None:
        try:
            packet = os.read(question.descriptor, checkpw.LONGEST + 1)
            question.address, name, password = checkpw.parse(packet)
        except BlockingIOError:
            return
        except (OSError, checkpw.Broken):
            self._answer(question, b"")
            return
        question.said = b"%b\0%b\0%d\0" % (name, password, int(now()))
        if len(question.said) > LONGEST:
            self._answer(question, checkpw.NO)
            return
        self._loop.forget(question.descriptor)
        del self._asking[question.descriptor]
        self._waiting.append(question)
        self._start()

    def _start(self) -> None:
        while self._waiting and len(self._running) < MOST_RUNNING:
            question = self._waiting.popleft()
            try:
                self._begin(question)
            except OSError as error:
                fds.write_if_ready(2, program.line(b"qmail-checkpwd: alert: no checker can start: " + reason(error)))
                self._answer(question, checkpw.TROUBLE)

    def _begin(self, question: Question) -> None:
        environ = {**self._environ, b"TCPREMOTEIP": question.address}
        opened = [*os.pipe()]  # which has room for what is said
        try:
            opened.append(os.open(b"/dev/null", os.O_RDWR | os.O_CLOEXEC))
            reader, writer, null = opened
            fds.write_all(writer, question.said)
            question.pid = execute.spawn(self._checker, environ, {0: null, 1: null, 3: reader}, session=True)
        finally:
            for descriptor in opened:
                os.close(descriptor)
        question.said, question.due = b"", monotonic() + PATIENCE
        try:
            question.handle = os.pidfd_open(question.pid)
        except OSError:
            signals.send_group(question.pid, signals.KILL)
            os.waitpid(question.pid, 0)
            raise
        self._running[question.handle] = question
        self._loop.watch(question.handle, partial(self._ended, question))

    def _ended(self, question: Question, _events: int) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(question.pid, 0)[1])
        self._loop.forget(question.handle)
        os.close(question.handle)
        del self._running[question.handle]
        verdict = {0: checkpw.YES, 1: checkpw.NO}.get(code, checkpw.TROUBLE)
        if verdict == checkpw.TROUBLE:
            how = b"was killed by signal %d" % -code if code < 0 else b"has exited %d" % code
            fds.write_if_ready(2, b"qmail-checkpwd: alert: the checker " + how + b"\n")
        self._answer(question, verdict)
        self._start()

    def _answer(self, question: Question, verdict: bytes) -> None:
        if self._asking.pop(question.descriptor, None) is not None:
            self._loop.forget(question.descriptor)
        if verdict:
            fds.write_if_ready(question.descriptor, verdict)
        os.close(question.descriptor)


def _account(name: bytes) -> tuple[int, int]:
    import pwd

    try:
        entry = pwd.getpwnam(os.fsdecode(name))
    except (KeyError, ValueError):
        raise Permanent(b"no account " + name) from None
    return entry.pw_uid, entry.pw_gid
