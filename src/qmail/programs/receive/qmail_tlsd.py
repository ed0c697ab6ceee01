"""qmail-tlsd: the only process that has the keys, and speaks TLS for others.

Whoever has accepted a connection (qmail-smtpd, tlswrap) passes it here, and
gets plain text to read and write in its place: what parses mail never sees a
key, and what has the keys never sees the queue.

Usage: qmail-tlsd

    exec qmail-tlsd        # a run script

Behaviour:
Certificates are control/servercert.pem and control/tls/NAME.pem, in PEM: each
file holds a certificate, those that signed it, and the key, which needs no
reader but root. A client that asks for a server NAME (SNI) gets the one of that
name, others servercert.pem; without it, the first of the names. TLS 1.2 and
1.3, as OpenSSL has them by default; no renegotiation. Session tickets, unless
control/tlstickets is 0; sessions of TLS 1.2 are remembered for 5 minutes as well.
Certificates are read at the start, on HUP, and within 2 seconds of a change;
connections that are open go on with the old ones. What cannot be used is said, and
the old ones stay.

One line is logged for each handshake, and one for what went wrong with a
connection: the address, the port, and why. At most 4,096 connections at a time,
64 KiB waiting each way on each; a handshake may take as long as who passes the
connection wants, 60 seconds for ours. After that, time is their affair; a client
that has not taken their last words in 60 seconds is dropped.

Files: QMAIL_HOME/qt/socket: only root, qmaild and the user it runs as are heard.
control/: servercert.pem, tls, tlstickets.
Signals: HUP: read the certificates. TERM: end; connections go on to their end.
Runs as: root, to read the keys; then qmailt, or qmaild where there is no
qmailt. One process stays root, which speaks to nobody.
Faces: the network.
Exit codes: 0 after TERM; 111 no certificate can be used, or it cannot start.
"""

from __future__ import annotations

import gc
import os
from functools import partial

from qmail.formats.verdict import Temporary, Usage
from qmail.host import clock, durable, fds, identity, localsocket, program, sandbox, signals, title, tls
from qmail.host.loop import Loop
from qmail.host.reasons import reason
from qmail.stores import certificates, confinement, tlsdoor
from qmail.stores import home as homes
from qmail.stores.control import Control
from qmail.stores.tlsservice import MOST, Service, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from qmail.stores.home import Home

NAME = b"qmail-tlsd"
EACH, SPARE = 2, 32  # descriptors of a connection, and those kept for ourselves
LOOK = 2.0  # seconds between looks at the files
PAUSE = 1.0  # seconds before a process that has died is followed by another


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if argv[1:]:
        raise Usage(b"qmail-tlsd: usage: qmail-tlsd")
    home = homes.find(argv[0], environ)
    fds.standard_open()
    title.show(NAME)
    signals.ignore(signals.PIPE, signals.XFSZ)
    caught = signals.catch((signals.TERM, signals.INT, signals.HUP))
    return Keeper(home, caught).run()


class Keeper:
    """The process that reads the keys, and forks one that uses them: another for each change."""

    def __init__(self, home: Home, caught: int) -> None:
        self._home, self._caught = home, caught
        self._control = Control(home.path)
        self._who = _users(home)
        self._stamps = certificates.stamps(self._control)
        self._keys = _keys(self._control)
        sandbox.prepare()
        try:
            self._listener = localsocket.Listener(home.file(tlsdoor.SOCKET), 0o666)
        except OSError as error:
            raise Temporary(b"unable to listen at qt/socket: " + reason(error)) from error
        self._loop = Loop()
        self._loop.watch(caught, self._signalled)
        self._child = self._life = -1  # the process that takes connections now, and what it lives by
        self._stopping = False
        self._not_before = 0.0

    def run(self) -> int:
        """Until TERM."""
        self._fork()
        look = clock.monotonic() + LOOK
        while not self._stopping:
            self._loop.round(PAUSE if self._child < 0 else max(look - clock.monotonic(), 0))
            now = clock.monotonic()
            if self._child < 0 and now >= self._not_before:
                self._fork()
            if now >= look:
                self._renew(always=False)
                look = clock.monotonic() + LOOK
        if self._listener.is_found():
            durable.remove(self._home.file(tlsdoor.SOCKET))  # nobody shall be offered TLS
        return 0

    def _signalled(self, _events: int) -> None:
        came = signals.arrived(self._caught)
        if came & {signals.TERM, signals.INT}:
            self._stopping = True
        elif signals.HUP in came:
            self._renew(always=True)

    def _renew(self, *, always: bool) -> None:
        try:
            stamps = certificates.stamps(self._control)
            if not always and stamps == self._stamps:
                return
            self._stamps = stamps
            self._keys = _keys(self._control)
        except Temporary as trouble:
            say(trouble.text + b"; the old ones stay")
            return
        say(b"certificates read")
        self._retire()
        self._fork()

    def _retire(self) -> None:
        # The process that takes connections goes on with those it has.
        if self._child >= 0:
            os.close(self._life)
            self._child = self._life = -1

    def _fork(self) -> None:
        self._not_before = clock.monotonic() + PAUSE
        life, ours = os.pipe2(os.O_CLOEXEC)
        gc.collect()
        gc.freeze()
        try:
            pid = os.fork()
        except OSError as error:
            say(b"unable to fork: " + reason(error))
            os.close(life)
            os.close(ours)
            return
        if not pid:
            _work(self._home, self._listener, life, self._keys, self._who)
        os.close(life)
        self._child, self._life = pid, ours
        ending = os.pidfd_open(pid)
        self._loop.watch(ending, partial(self._ended, pid, ending))

    def _ended(self, pid: int, ending: int, _events: int) -> None:
        self._loop.forget(ending)
        os.close(ending)
        os.waitpid(pid, 0)
        if pid == self._child:
            say(b"the process that takes connections has died")
            self._retire()


def _keys(control: Control) -> tls.Keys:
    """All of them, read. Without a main one, the first of the names serves who asks for none. Raises Temporary."""
    found = certificates.files(control)
    if not found:
        raise Temporary(b"no certificate: neither control/servercert.pem nor control/tls/NAME.pem")
    named = {name.decode("ascii", "replace"): path for name, path in found.items() if name}
    main = found.get(b"") or next(iter(named.values()))
    tickets = control.number(b"tlstickets", 1) > 0
    try:
        keys = tls.Keys(main, named, tickets=tickets)
    except tls.Unusable as error:
        raise Temporary(b"unable to use " + str(error).encode()) from error
    for finding in certificates.findings(control, int(clock.now())):
        say(finding.what)
    return keys


def _users(home: Home) -> tuple[int, int, frozenset[int]]:
    # Who to become, and who may ask.
    asking = home.account(b"qmaild")
    try:
        ours = home.account(b"qmailt")
    except Temporary:
        ours = asking
    return *ours, frozenset((0, asking[0], ours[0]))


def _work(
    home: Home, listener: localsocket.Listener, life: int, keys: tls.Keys, who: tuple[int, int, frozenset[int]]
) -> NoReturn:
    # In the new process. Nothing may return from here into the keeper's stack.
    try:
        fds.close_from(3, keep=(listener.fileno(), life))
        signals.restore()
        signals.ignore(signals.PIPE, signals.XFSZ)
        most = min((fds.most() - SPARE) // EACH, MOST)
        if os.geteuid() == 0:
            identity.become(*who[:2])
        sandbox.enter(confinement.keys())
        Service(listener, life, keys, who[2], most).run()
    except BaseException as error:
        fds.write_if_ready(2, program.last_words(NAME, error)[1])
        os._exit(111)
    os._exit(0)
