"""qmail-lspawn: local deliveries for qmail-send, each as the user it is for.

It is the one program that stays root, so it does as little as can be: look up
an account, become it, and let others deliver. It never reads a byte of a
message.

Usage: qmail-lspawn DEFAULT

qmail-start runs it. DEFAULT are the instructions for users without a .qmail
file, such as ./Mailbox.

Behaviour:
Orders come on descriptor 0, reports go to descriptor 1, with many deliveries at
a time. The local part of a recipient is looked up in users/cdb, else among the
accounts of the system by qmail-getpw; qmail-local is run as that user with the
message, which must be a file of the queue, on descriptor 0. Where
bin/qmail-local is our own, warm processes, each of one user for its whole life,
do the same work; after a few seconds without mail they end. The process that
makes these, and the one that looks accounts up, are started again where they
are killed; for five seconds programs stand in. Nothing is delivered as root. A
delivery ends when all its processes have closed descriptor 1, or 10 minutes
after qmail-local. In single-user mode everything runs as that one user, and an
assignment to another uid is deferred.

qmail-rcptd, as qmailp, may ask at ql/homes whether there is such an address, where
it cannot see into a home: a process of that user looks, without a message. Up to
50 such questions are under way at a time, and 6,000 answered in a minute.

Files: users/cdb, queue/mess, ql/homes.
Signals: HUP: processes that wait for more mail of a user are let go.
Runs as: root.
Faces: addresses from strangers, and reports from every user.
Exit codes: 0 when descriptor 0 ends and all deliveries are reported; 100 usage;
    111 no queue.
"""

from __future__ import annotations

import os

from qmail.formats import report
from qmail.formats.verdict import PERMANENT, Temporary
from qmail.host import fds, processes, signals
from qmail.host.clock import monotonic
from qmail.host.loop import Loop
from qmail.host.reasons import reason
from qmail.protocols import spawn
from qmail.stores import home as homes
from qmail.stores.deliveries import Deliveries
from qmail.stores.users import Assignments, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from qmail.formats.usersassign import Account
    from qmail.stores.deliveries import Delivery as Order
    from qmail.stores.home import Home

    class Agents(Protocol):
        """Whoever looks up and delivers: programs, or warm processes."""

        def look_up(self, delivery: Delivery) -> None:
            """Ask who answers for the delivery's local part, and tell `Spawner.found`."""

        def deliver(self, delivery: Delivery) -> None:
            """Deliver, and tell `Spawner.finished` or `Spawner.report`."""

        def ended(self, pid: int, status: int) -> None:
            """A child has ended."""

        def dismiss(self) -> None:
            """Let waiting processes go, and take new ones from now on."""

        def round(self) -> float | None:
            """Hand out what came in; returns how many seconds the loop may wait."""


PATIENCE = 600.0  # seconds for what a program has left behind to close its output


class Delivery:
    """One order on its way."""

    __slots__ = ("account", "code", "ended", "host", "local", "number", "order", "output", "pipe", "sender")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.number, self.sender = order.number, order.sender
        self.local, _, self.host = order.recipient.rpartition(b"@")
        self.account: Account | None = None
        self.output = bytearray()
        self.pipe = -1  # where output still comes from
        self.ended = False  # `code` is known
        self.code: int | None = None


def main(argv: list[bytes], environ: dict[bytes, bytes], company: Callable[[Spawner], Agents]) -> int:
    """Run as described above; `company` makes those who look up and deliver, before the first order is read."""
    if len(argv) < 2:
        return PERMANENT
    spawner = Spawner(homes.find(argv[0], environ), argv[1], environ)
    return spawner.serve(company(spawner))


class Spawner:
    """The loop: orders in, reports out."""

    def __init__(self, home: Home, default: bytes, environ: dict[bytes, bytes]) -> None:
        self.home, self.default = home, default
        self.environ = {name: value for name, value in environ.items() if name != spawn.WIDE_VARIABLE}
        self.loop = Loop()
        self._orders = Deliveries(home, environ)
        self._assignments = Assignments(home)
        self._deliveries: dict[int, Delivery] = {}
        self._leftover: dict[int, float] = {}  # delivery number to when we stop waiting for its output
        try:
            os.chdir(home.queue + b"/mess")
        except OSError as error:
            raise Temporary(b"unable to switch to " + home.queue + b"/mess: " + reason(error)) from error

    def serve(self, agents: Agents) -> int:
        """Work until there is nothing more to do."""
        self._agents = agents
        self._orders.announce()
        self._signals = signals.catch((signals.HUP, signals.CHLD))
        self.loop.watch(self._signals, self._signalled)
        self.loop.watch(0, self._ordered)
        while True:
            wait = self._agents.round()
            self._orders.flush()
            if not (self._orders.reading or self._deliveries):
                return 0
            if self._leftover:
                wait = 1.0 if wait is None else min(wait, 1.0)
            self.loop.round(wait)
            self._forget_leftover()

    def found(self, delivery: Delivery, account: Account) -> None:
        """This account answers for the recipient."""
        delivery.account = account
        if account.uid == 0:
            self.report(delivery, report.ROOT)
        elif self.home.single and account.uid != os.geteuid():
            text = b"Z%b has another uid than this system, which is that of one user. (#4.3.5)\n"
            self.report(delivery, text % account.user)
        else:
            self._agents.deliver(delivery)

    def assigned(self, local: bytes) -> Account | None:
        """Who answers by users/cdb as it is now; None where it does not say. Raises Trouble."""
        if self._assignments.changed():
            self._agents.dismiss()
        return self._assignments.find(local)

    def open_message(self, delivery: Delivery) -> bool:
        """Open `delivery.order.message`; False where that cannot be done, and is reported."""
        if self._orders.open(delivery.order):
            return True
        self._forget(delivery)
        return False

    def open_output(self, delivery: Delivery) -> int | None:
        """Where programs of this delivery write; None where that cannot be had, and that is reported."""
        try:
            reader, writer = os.pipe2(os.O_CLOEXEC)
        except OSError:
            self.report(delivery, b"Zqmail-spawn unable to create pipe. (#4.3.0)\n")
            return None
        delivery.pipe = reader
        self.loop.watch(reader, lambda _events: self._said(delivery))
        return writer

    def finished(self, delivery: Delivery, code: int | None, text: bytes = b"") -> None:
        """qmail-local has ended for this delivery (None: of a signal); what it said follows `text`."""
        delivery.ended, delivery.code = True, code
        delivery.output += text
        if delivery.pipe < 0:
            self.report(delivery, report.local(code, bytes(delivery.output)))
        else:
            self._leftover[delivery.number] = monotonic() + PATIENCE

    def report(self, delivery: Delivery, text: bytes) -> None:
        """The last word on this delivery."""
        self._forget(delivery)
        self._orders.report(delivery.number, text)

    def _forget(self, delivery: Delivery) -> None:
        self._close_output(delivery)
        self._leftover.pop(delivery.number, None)
        self._deliveries.pop(delivery.number, None)

    def _ordered(self, _events: int) -> None:
        orders = self._orders.take(opened=False)
        if not self._orders.reading:
            self.loop.forget(0)
        trouble = False
        try:
            if self._assignments.changed():
                self._agents.dismiss()
        except Trouble:
            trouble = True
        for order in orders:
            delivery = self._deliveries[order.number] = Delivery(order)
            if not delivery.local:
                self.report(delivery, b"K")
            elif trouble:
                self.report(delivery, report.NO_CDB)
            else:
                self._look_up(delivery)

    def _look_up(self, delivery: Delivery) -> None:
        try:
            account = self._assignments.find(delivery.local)
        except Trouble:
            self.report(delivery, report.NO_CDB)
            return
        if account is not None:
            self.found(delivery, account)
        else:
            self._agents.look_up(delivery)

    def _said(self, delivery: Delivery) -> None:
        piece = os.read(delivery.pipe, fds.CHUNK)
        delivery.output += piece
        del delivery.output[report.LONGEST + 1 :]  # one more byte says that it was cut
        if not piece:
            self._close_output(delivery)
            if delivery.ended:
                self.report(delivery, report.local(delivery.code, bytes(delivery.output)))

    def _close_output(self, delivery: Delivery) -> None:
        if delivery.pipe >= 0:
            self.loop.forget(delivery.pipe)
            os.close(delivery.pipe)
            delivery.pipe = -1

    def _forget_leftover(self) -> None:
        for number in [number for number, end in self._leftover.items() if end < monotonic()]:
            delivery = self._deliveries[number]
            self.report(delivery, report.local(delivery.code, bytes(delivery.output)))

    def _signalled(self, _events: int) -> None:
        if signals.HUP in signals.arrived(self._signals):
            self._agents.dismiss()
        for pid, status in processes.reaped():
            self._agents.ended(pid, status)
