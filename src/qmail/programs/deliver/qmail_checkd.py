"""qmail-checkd: runs a program of yours for each recipient, before mail for him is taken.

Who has recipients in a database, or rules of its own, plugs them in here. The
servers that talk to strangers start no program.

Usage: qmail-checkd

    exec qmail-checkd                    # a run script

control/rcptcheck names the program:

    /usr/local/bin/known-by-ldap -h ldap.example.org

Its first line is the program, with or without a path, and its arguments, with
blanks between them. There is no shell; where you want one, say `sh -c` and name a
script.

Behaviour:
Listens at qc/check, where qmail-rcptd asks about each recipient that it would
take. The program is run in the home of qmail, with /dev/null as descriptor 0; what
it writes goes to the log. By its exit code the recipient is

    0      taken
    100    unknown: 550, and mail for him is not taken
    111    to be tried again later: 451
    120    the same: the program could not be run, or found no way to ask

and with any other code, or killed by a signal, as with 111. That and 120 are
logged.
These are the codes of RCPTCHECK, as patches for qmail had it, but that there an
unforeseen code took the recipient.

At most 20 run at a time. One that has not ended after 1.5 seconds, waiting for its
turn included, is killed with its process group, as with 111. The file is read
again when it has changed; without it every recipient is taken, and where it cannot
be read he is put off. A second qmail-checkd for the same home exits 111.

Environment: the program gets that of qmail-checkd, with RECIPIENT and SENDER,
addresses as they will stand in the envelope; and, where qmail-smtpd or qmail-qmtpd
has them, PROTO, TCPLOCALHOST, TCPLOCALIP, TCPLOCALPORT, TCPREMOTEHOST,
TCPREMOTEINFO, TCPREMOTEIP, TCPREMOTEPORT (tcp-environ(5)) and RELAYCLIENT.
Files: qc/check, qc/lock; control/rcptcheck.
Runs as: root, to listen; then qmailc, or qmaild where there is no qmailc. So
does the program.
Faces: addresses from strangers; only root and qmailp may ask.
Exit codes: 100 usage; 111 another one runs, or the socket cannot be made.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from functools import partial

from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute, fds, identity, processes, program, title
from qmail.host.clock import monotonic
from qmail.host.localsocket import STREAM
from qmail.host.loop import Loop
from qmail.host.reasons import reason
from qmail.protocols.recipients import TAKEN, TROUBLE, UNKNOWN, VARIABLES, parts
from qmail.stores import answering, asking, home, listening
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from qmail.host.localsocket import Listener
    from qmail.stores.answering import Client
    from qmail.stores.control import Stamp

NAME = b"qmail-checkd"
LOCK = b"qc/lock"
FILE = b"rcptcheck"
MOST_CLIENTS = 100
MOST_RUNNING = 20  # programs
MOST_WAITING = 1000  # questions that wait for one to end
UNABLE = 120  # exit code where the program cannot be run
VERDICTS = {0: TAKEN, 100: UNKNOWN, 111: TROUBLE, UNABLE: TROUBLE}


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) > 1:
        raise Usage(b"qmail-checkd: usage: qmail-checkd")
    where = home.find(argv[0], environ)
    fds.standard_open()
    listener = listening.begin(where, NAME, LOCK, asking.CHECKS, 0o666, STREAM)
    title.show(NAME)
    asking_uid = where.account(b"qmailp")[0]
    if os.geteuid() == 0:
        identity.become(*_user(where))
    os.chdir(where.path)
    service = Service(where, listener, environ, frozenset((0, asking_uid)))
    gc.freeze()
    service.run()


def _user(where: home.Home) -> tuple[int, int]:
    try:
        return where.account(b"qmailc")
    except Temporary:
        return where.account(b"qmaild")


class Check:
    """A recipient that the program `words` is to be asked about, until `until`. `handle`: of the process that does."""

    __slots__ = ("client", "handle", "pid", "tag", "text", "until", "words")

    def __init__(self, client: Client, tag: int, text: bytes, words: list[bytes]) -> None:
        self.client, self.tag, self.text, self.words = client, tag, text, words
        self.until = monotonic() + asking.WITHIN
        self.pid = self.handle = -1


class Service:
    """The loop: questions in, programs started and ended."""

    def __init__(
        self, where: home.Home, listener: Listener, environ: Mapping[bytes, bytes], may: frozenset[int]
    ) -> None:
        self._loop, self._control = Loop(), Control(where.path)
        self._environ = {name: value for name, value in environ.items() if name not in VARIABLES}
        self._null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._stamps: list[Stamp] = []
        self._words: list[bytes] = []
        self._waiting: deque[Check] = deque()
        self._running: dict[int, Check] = {}  # by handle, the oldest first
        answering.Clients(self._loop, listener, may, self._verdict, MOST_CLIENTS)

    def run(self) -> NoReturn:
        """For ever."""
        while True:
            while self._waiting and len(self._running) < MOST_RUNNING:
                self._start(self._waiting.popleft())
            first = next(iter(self._running.values()), None)
            self._loop.round(None if first is None else max(first.until - monotonic(), 0.0))
            self._give_up(monotonic())

    def _program(self) -> list[bytes]:
        stamps = self._control.stamps((FILE,))
        if stamps != self._stamps:
            # Stamps first: what changes while it is read is read again.
            self._stamps = []
            self._words = (self._control.line(FILE) or b"").split()
            self._stamps = stamps
        return self._words

    def _verdict(self, client: Client, tag: int, text: bytes) -> bytes | None:
        try:
            words = self._program()
        except Temporary as trouble:
            _complain(trouble.text)
            return TROUBLE
        if not words:
            return TAKEN
        if len(self._waiting) >= MOST_WAITING:
            return TROUBLE
        self._waiting.append(Check(client, tag, text, words))
        return None

    def _start(self, check: Check) -> None:
        recipient, sender, variables = parts(check.text)
        environ = {**self._environ, **variables, b"RECIPIENT": recipient, b"SENDER": sender}
        try:
            check.pid = execute.spawn(check.words, environ, {0: self._null}, session=True, unable=UNABLE)
            check.handle = os.pidfd_open(check.pid)
        except OSError as error:
            _complain(b"unable to run " + check.words[0] + b": " + reason(error))
            if check.pid >= 0:
                processes.kill(check.pid)
                os.waitpid(check.pid, 0)
            check.client.answer(check.tag, TROUBLE)
            return
        self._running[check.handle] = check
        self._loop.watch(check.handle, partial(self._ended, check))

    def _ended(self, check: Check, _events: int) -> None:
        self._loop.forget(check.handle)
        os.close(check.handle)
        del self._running[check.handle]
        code = os.waitstatus_to_exitcode(os.waitpid(check.pid, 0)[1])
        if code == UNABLE or code not in VERDICTS:
            what = b"exited with code %d" % code if code >= 0 else b"was killed by signal %d" % -code
            _complain(check.words[0] + b" " + what)
        check.client.answer(check.tag, VERDICTS.get(code, TROUBLE))

    def _give_up(self, now: float) -> None:
        while self._waiting and self._waiting[0].until <= now:
            late = self._waiting.popleft()
            late.client.answer(late.tag, TROUBLE)
        for check in self._running.values():
            if check.until > now:
                break
            processes.kill(-check.pid)


def _complain(text: bytes) -> None:
    fds.write_if_ready(2, program.line(NAME + b": warning: " + text))
