"""qmail-lspawn: local deliveries for qmail-send, each as the user it is for.

Usage: qmail-lspawn DEFAULT

Takes orders on descriptor 0 and reports on descriptor 1 (see qmail.protocols.spawn). The local part of the
recipient is looked up in users/cdb, else among the accounts of the system by qmail-getpw; qmail-local is
run as that user with the message on descriptor 0. DEFAULT are the instructions for users without a .qmail
file, such as ./Mailbox.

Never reads a byte of a message: it opens the file, sees that it is one of the queue's, and hands the
descriptor on. Nothing is delivered as root. In single-user mode everything runs as that one user, and an
assignment to another uid is deferred.

HUP: processes that wait for more mail of a user are let go.

Runs as: root.
Faces: addresses from strangers, and reports from every user.
Exit codes: 0 when descriptor 0 ends and all deliveries are reported; 100 usage; 111 no queue.
"""

from __future__ import annotations

import os
import stat

from qmail.formats import report
from qmail.formats.verdict import PERMANENT, Temporary
from qmail.host import fds, signals
from qmail.host.clock import monotonic
from qmail.host.loop import Loop
from qmail.host.reasons import reason
from qmail.protocols import spawn
from qmail.stores import home as homes
from qmail.stores.users import Assignments, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from qmail.formats.usersassign import Account
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


NARROW_LIMIT, WIDE_LIMIT = 120, 1000  # deliveries at once
AT_ONCE = 16384  # bytes of orders
PATIENCE = 600.0  # seconds for what a program has left behind to close its output
LONGEST_NAME = 100  # bytes of a message's file name


class Delivery:
    """One order on its way."""

    __slots__ = ("account", "code", "ended", "host", "local", "message", "number", "output", "pipe", "sender")

    def __init__(self, order: spawn.Order) -> None:
        self.number, self.message, self.sender = order.number, order.message, order.sender
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
        self.wide = environ.get(spawn.WIDE_VARIABLE) == spawn.WIDE_VALUE
        self.limit = WIDE_LIMIT if self.wide else NARROW_LIMIT
        self.loop = Loop()
        self.deliveries: dict[int, Delivery] = {}
        self._assignments = Assignments(home)
        self._orders = spawn.Orders(self.wide)
        self._reports: list[bytes] = []
        self._leftover: dict[int, float] = {}  # delivery number to when we stop waiting for its output
        self._reading = True
        try:
            self._owner = os.stat(home.queue).st_uid
            os.chdir(home.queue + b"/mess")
        except OSError as error:
            raise Temporary(b"unable to switch to " + home.queue + b"/mess: " + reason(error)) from error

    def serve(self, agents: Agents) -> int:
        """Work until there is nothing more to do."""
        self._agents = agents
        fds.write_all(1, spawn.announcement(self.limit, self.wide))
        self._signals = signals.catch((signals.HUP, signals.CHLD))
        self.loop.watch(self._signals, self._signalled)
        self.loop.watch(0, self._ordered)
        while self._reading or self.deliveries:
            wait = agents.round()
            self._flush()
            if not (self._reading or self.deliveries):
                break
            if self._leftover:
                wait = 1.0 if wait is None else min(wait, 1.0)
            self.loop.round(wait)
            self._forget_leftover()
        self._flush()
        return 0

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

    def open_message(self, delivery: Delivery) -> tuple[int, int] | None:
        """A new description of the message, and its size; None where it cannot be had, and that is reported."""
        try:
            descriptor = os.open(delivery.message, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self.report(delivery, b"Zqmail-spawn unable to open message. (#4.3.0)\n")
            return None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.report(delivery, b"ZSorry, message has wrong type. (#4.3.5)\n")
        elif status.st_uid != self._owner:
            self.report(delivery, b"ZSorry, message has wrong owner. (#4.3.5)\n")
        else:
            return descriptor, status.st_size
        os.close(descriptor)
        return None

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
        self._close_output(delivery)
        self._leftover.pop(delivery.number, None)
        self.deliveries.pop(delivery.number, None)
        self._reports.append(spawn.report(delivery.number, text, self.wide))

    def _ordered(self, _events: int) -> None:
        data = os.read(0, AT_ONCE)
        if not data:
            self._reading = False
            self.loop.forget(0)
            return
        trouble = False
        try:
            if self._assignments.changed():
                self._agents.dismiss()
        except Trouble:
            trouble = True
        for order in self._orders.feed(data):
            refusal = self._refusal(order)
            if refusal:
                self._reports.append(spawn.report(order.number, refusal, self.wide))
                continue
            delivery = self.deliveries[order.number] = Delivery(order)
            if not delivery.local:
                self.report(delivery, b"K")
            elif trouble:
                self.report(delivery, report.NO_CDB)
            else:
                self._look_up(delivery)

    def _refusal(self, order: spawn.Order) -> bytes:
        if order.number >= self.limit:
            return b"ZInternal error: delnum too big. (#4.3.5)\n"
        if order.number in self.deliveries:
            return b"ZInternal error: delnum in use. (#4.3.5)\n"
        name = order.message
        if name.startswith(b"/") or name.strip(b"0123456789/"):
            return b"DInternal error: messid has nonnumerics. (#5.3.5)\n"
        if name.replace(b"/", b"").strip(b"0123456789"):
            return b"DInternal error: messid has nonnumerics. (#5.3.5)\n"
        if len(name) > LONGEST_NAME:
            return b"DInternal error: messid too long. (#5.3.5)\n"
        if not name:
            return b"DInternal error: messid too short. (#5.3.5)\n"
        if b"@" not in order.recipient:
            return b"DSorry, address must include host name. (#5.1.3)\n"
        return b""

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
            delivery = self.deliveries[number]
            self.report(delivery, report.local(delivery.code, bytes(delivery.output)))

    def _signalled(self, _events: int) -> None:
        if signals.HUP in signals.arrived(self._signals):
            self._agents.dismiss()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._agents.ended(pid, status)

    def _flush(self) -> None:
        if self._reports:
            fds.write_all(1, b"".join(self._reports))
            self._reports.clear()
