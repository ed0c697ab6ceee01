"""qmail-rspawn: deliveries to other hosts, as qmail-send orders them.

Usage: qmail-rspawn

qmail-start runs it.

Behaviour:
Reads orders from descriptor 0 and writes reports to descriptor 1, many at a
time. Each delivery is one run of qmail-remote, with the message on descriptor
0. Where bin/qmail-remote is our own, processes that have it loaded already do
the work: they greet with EHLO, send MAIL, RCPT and DATA together where the
server announces PIPELINING, and keep the connection a few seconds for the next
message to the same host. $QMAILREMOTE, or another program in the place of
qmail-remote, is started anew for each delivery. Its report is read as that of
qmail-remote; what is none is a failure that may pass. When the orders end,
running deliveries are finished first.

Environment: QMAILREMOTE.
Files: queue/mess; see qmail-remote, and qmail-dns, qmail-stsd and qmail-tlsrptd,
which it starts where none run.
Runs as: qmailr.
Exit codes: 0 at the end of the orders; 111 without a home or its queue.
"""

from __future__ import annotations

import gc
import os

from qmail.formats import mailparameters, remotereport
from qmail.formats.verdict import Temporary
from qmail.host import execute, signals
from qmail.host.loop import READ, Loop
from qmail.host.reasons import reason
from qmail.stores import home
from qmail.stores.deliveries import Deliveries
from qmail.stores.tcpto import Timeouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from qmail.stores.deliveries import Delivery
    from qmail.stores.home import Home

    class Workers(Protocol):
        """Processes that deliver without being started anew."""

        def start(self, delivery: Delivery) -> bool:
            """Take the delivery over, or say that it must be started the long way."""

        def rest(self) -> float | None:
            """Let go what has been idle too long; after how many seconds to look again."""

        def end(self) -> None:
            """There will be no more deliveries."""

    Makers = Callable[[Home, Mapping[bytes, bytes], Loop, Callable[[int, int | None, bytes], None]], Workers]

LONGEST = 1024 * 1024  # bytes of what one qmail-remote may say
_CHUNK = 65536


def main(argv: list[bytes], environ: dict[bytes, bytes], workers: Makers | None = None) -> int:
    """Run as described above. `workers` makes the processes that stay; without it, each delivery is a program."""
    where = home.find(argv[0], environ)
    try:
        os.chdir(where.file(b"queue/mess"))
    except OSError as error:
        raise Temporary(b"unable to chdir to " + where.file(b"queue/mess") + b": " + reason(error)) from error
    Spawner(where, environ, workers).run()
    return 0


class Spawner:
    """The loop: orders in, deliveries started, reports out."""

    def __init__(self, where: Home, environ: Mapping[bytes, bytes], workers: Makers | None) -> None:
        self._environ = environ
        self._program = environ.get(b"QMAILREMOTE") or where.program(b"qmail-remote")
        self._deliveries = Deliveries(where, environ)
        self._loop = Loop()
        self._programs = Programs(self._loop, self._finished)
        Timeouts(where).forget()
        self._workers = workers(where, environ, self._loop, self._finished) if workers else None

    def run(self) -> None:
        """Until the orders have ended and everything is reported."""
        deliveries, loop = self._deliveries, self._loop
        deliveries.announce()
        loop.watch(0, lambda _events: self._orders())
        gc.freeze()
        while deliveries.reading or deliveries.running:
            loop.round(self._workers.rest() if self._workers else None)
            deliveries.flush()
        if self._workers:
            self._workers.end()

    def _orders(self) -> None:
        for delivery in self._deliveries.take():
            if self._workers is None or not self._workers.start(delivery):
                if delivery.asked and mailparameters.parse_single(delivery.asked).requiretls:
                    # A program that is started knows nothing of it.
                    os.close(delivery.message)
                    self._finished(delivery.number, 0, remotereport.NO_REQUIRETLS + b"\0")
                    continue
                argv = (self._program, delivery.host, delivery.sender, delivery.recipient)
                self._programs.start(delivery, argv, self._environ)
        if not self._deliveries.reading:
            self._loop.forget(0)

    def _finished(self, number: int, code: int | None, output: bytes) -> None:
        text = remotereport.report(code, output)
        if text == remotereport.NEVER_RUN and code == 100 and not os.path.exists(self._program):
            # A program that was taken away for a moment is no reason to return mail.
            text = remotereport.NOT_RUN
        self._deliveries.report(number, text)


class _Child:
    """A running program: its delivery, what it said, how it ended."""

    __slots__ = ("number", "output", "pipe", "size", "status")

    def __init__(self, number: int, pipe: int) -> None:
        self.number, self.pipe = number, pipe
        self.output: list[bytes] = []
        self.size = 0
        self.status: int | None = None


class Programs:
    """Deliveries made by a program of their own each. `finished` gets number, exit code (None: signal), output."""

    def __init__(self, loop: Loop, finished: Callable[[int, int | None, bytes], None]) -> None:
        self._loop, self._finished = loop, finished
        self._children: dict[int, _Child] = {}
        self._ended = -1

    def start(self, delivery: Delivery, argv: tuple[bytes, ...], environ: Mapping[bytes, bytes]) -> None:
        """Run the program with the message on 0, and 1 and 2 to us."""
        if self._ended < 0:
            self._ended = signals.catch((signals.CHLD,))
            self._loop.watch(self._ended, lambda _events: self._reap())
        try:
            ours, theirs = os.pipe2(os.O_CLOEXEC)
        except OSError:
            os.close(delivery.message)
            self._finished(delivery.number, 0, b"Zqmail-spawn unable to create pipe. (#4.3.0)\n\0")
            return
        try:
            pid = execute.spawn(argv, environ, {0: delivery.message, 1: theirs, 2: theirs})
        except OSError:
            os.close(ours)
            self._finished(delivery.number, 0, b"Zqmail-spawn unable to fork. (#4.3.0)\n\0")
            return
        finally:
            os.close(delivery.message)
            os.close(theirs)
        child = self._children[pid] = _Child(delivery.number, ours)
        self._loop.watch(ours, lambda _events: self._said(pid, child), READ)

    def _said(self, pid: int, child: _Child) -> None:
        data = os.read(child.pipe, _CHUNK)
        if data:
            if child.size < LONGEST:
                child.output.append(data)
                child.size += len(data)
            return
        self._loop.forget(child.pipe)
        os.close(child.pipe)
        child.pipe = -1
        self._settle(pid, child)

    def _reap(self) -> None:
        signals.arrived(self._ended)
        for pid, child in list(self._children.items()):
            if child.status is None:
                ended, status = os.waitpid(pid, os.WNOHANG)
                child.status = status if ended else None
                self._settle(pid, child)

    def _settle(self, pid: int, child: _Child) -> None:
        """Report once the program has ended and nobody holds its output any more."""
        if child.pipe >= 0 or child.status is None:
            return
        del self._children[pid]
        code = os.waitstatus_to_exitcode(child.status)
        self._finished(child.number, code if code >= 0 else None, b"".join(child.output))
