"""qmail-tlsrptd: counts sessions with other hosts, with the TLS that they should have and without (RFC 8460).

Usage: qmail-tlsrptd [-i SECONDS]

    exec setuidgid qmailr qmail-tlsrptd      # a run script; it need not be a service

    -i SECONDS  end after so long without a word

qmail-rspawn starts one where none runs. qmail-tlsrpt makes reports of the counts.

Behaviour:
Listens at qr/tlsrpt (with -i: at the socket on descriptor 0), where qmail-remote's
warm processes tell of each session with a mail exchanger: the domain, the policy,
the failure if there was one. Equal ones are counted together, in a file for each
day (UTC) in tlsrpt/, of which 10 are kept. It is written every 30 seconds, and at
the end: a crash loses no more than that.

A day has at most 20,000 lines and 8 MiB. Of one domain at most 100 failures are
kept apart by exchanger and address; what is beyond any of this is counted with
less detail, or, where there is no room for a new line at all, not counted, which
is said on descriptor 2. A second qmail-tlsrptd for the same home exits 111.

Files: qr/tlsrpt, qr/tlsrpt.lock; tlsrpt/.
Runs as: qmailr.
Faces: qmailr and root.
Exit codes: 0 idle, or after TERM; 100 usage; 111 another one runs, or the socket
    cannot be made.
"""

from __future__ import annotations

import gc

from qmail.formats import tlscount
from qmail.host import fds, program, sandbox, signals, title
from qmail.host.clock import monotonic, now
from qmail.host.loop import Loop
from qmail.host.reasons import reason
from qmail.stores import confinement, home, listening, tlscounts
from qmail.stores.tlscounts import Counts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.host.localsocket import Listener

USAGE = b"qmail-tlsrptd: usage: qmail-tlsrptd [ -i seconds ]"
MOST_CLIENTS = 1200
WRITTEN = 30.0  # seconds between two writes
LAST_ROUNDS = 10_000  # of the loop, after TERM
QUIET = 600.0  # seconds between two complaints


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    idle = listening.idle(argv[1:], USAGE)
    where = home.find(argv[0], environ)
    ending = signals.catch((signals.TERM,))  # before anybody can say anything that would be lost
    listener = listening.begin(where, b"qmail-tlsrptd", tlscounts.LOCK, tlscounts.SOCKET, tlscounts.MODE)
    fds.most()
    title.show(b"qmail-tlsrptd")
    service = Service(Counts(where), listener, ending)
    gc.freeze()
    sandbox.enter(confinement.counting(where))
    service.run(idle)
    return 0


class Service:
    """The loop: lines in, and now and then a file out."""

    def __init__(self, counts: Counts, listener: Listener, ending: int) -> None:
        self._counts, self._loop = counts, Loop()
        self._clients = listening.Packets(self._loop, listener, MOST_CLIENTS, tlscount.LONGEST, self._heard)
        self._active = monotonic()
        self._write_at: float | None = None
        self._quiet_until = 0.0
        self._count = 0  # lines so far
        self._ended = False
        self._loop.watch(ending, lambda _events: self._end())

    def run(self, idle: float | None) -> None:
        """Until TERM, or until nobody has said anything for `idle` seconds."""
        while not self._ended:
            time = monotonic()
            times = [self._clients.attend()]
            if self._write_at is not None:
                if self._write_at <= time:
                    self._write()
                else:
                    times.append(self._write_at - time)
            if idle is not None:
                if self._active + idle <= time:
                    break
                times.append(self._active + idle - time)
            self._loop.round(min((each for each in times if each is not None), default=None))
        self._finish()

    def _finish(self) -> None:
        """Count what has been said already, and write."""
        before = (-1, -1)
        for _ in range(LAST_ROUNDS):
            self._loop.round(0)
            # One round to take a connection, the next to hear what was said there.
            if before[0] == self._count:
                break
            before = (before[1], self._count)
        self._write()

    def _heard(self, client: int, line: bytes) -> None:
        self._active = monotonic()
        self._count += 1
        lost = self._counts.lost
        try:
            self._counts.count(line, now())
        except tlscount.Broken:
            self._clients.hang_up(client)
            return
        except OSError as error:
            self._complain(b"unable to begin a day: " + reason(error))
        if self._counts.lost > lost:
            self._complain(b"%d sessions of today were not counted: there are too many kinds" % self._counts.lost)
        if self._counts.changed and self._write_at is None:
            self._write_at = self._active + WRITTEN

    def _write(self) -> None:
        self._write_at = None
        try:
            self._counts.write()
        except OSError as error:
            self._complain(b"unable to write: " + reason(error))
            self._write_at = monotonic() + WRITTEN

    def _complain(self, words: bytes) -> None:
        if monotonic() >= self._quiet_until:
            self._quiet_until = monotonic() + QUIET
            fds.write_if_ready(2, program.line(b"qmail-tlsrptd: warning: " + words))

    def _end(self) -> None:
        self._ended = True
