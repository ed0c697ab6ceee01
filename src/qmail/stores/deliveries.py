"""A spawner's side of qmail-send's orders: orders are read and looked over, messages opened, reports written.

Each delivery gets a descriptor of its own, since a shared one would share its offset. Only a
regular file of the queue's owner is a message.
"""

from __future__ import annotations

import os
import stat

from qmail.formats import mailparameters
from qmail.host import fds
from qmail.protocols import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.stores.home import Home

CHUNK = 65536
NARROW = 120  # deliveries at once that the C programs know
WIDE = 1000
_NAME = frozenset(b"/0123456789")


class Delivery:
    """One delivery to make. `message` is a descriptor, -1 until it is opened; who takes the delivery closes it.

    `name` is the message's file below queue/mess/, `size` its bytes once it is opened. `asked`: as that of an Order.
    """

    __slots__ = ("asked", "message", "name", "number", "recipient", "sender", "size")

    def __init__(self, number: int, name: bytes, sender: bytes, recipient: bytes, asked: bytes = b"") -> None:
        self.number, self.name, self.sender, self.recipient = number, name, sender, recipient
        self.asked = asked
        self.message, self.size = -1, 0

    @property
    def host(self) -> bytes:
        """What stands behind the recipient's last @."""
        return self.recipient.rpartition(b"@")[2]


class Deliveries:
    """Orders from descriptor 0, reports to descriptor 1. The working directory is queue/mess/.

    Raises Temporary where the queue's owner is unknown.
    """

    def __init__(self, home: Home, environ: Mapping[bytes, bytes]) -> None:
        self._wide = environ.get(spawn.WIDE_VARIABLE) == spawn.WIDE_VALUE
        self.limit = WIDE if self._wide else NARROW
        self._owner = home.account(b"qmailq")[0]
        self._sender = os.getppid()
        self._orders = spawn.Orders(self._wide)
        self._reports: list[bytes] = []
        self.running: set[int] = set()
        self.reading = True  # may more orders come?

    def announce(self) -> None:
        """Say how many deliveries at once we take."""
        _tell(spawn.announcement(self.limit, self._wide))

    def take(self, *, opened: bool = True) -> list[Delivery]:
        """Read once from descriptor 0: the deliveries to start, their messages `opened` or not yet.

        What is wrong with an order or a message is reported at once.
        """
        try:
            data = os.read(0, CHUNK)
            orders = self._orders.feed(data)
        except (OSError, spawn.Broken):
            data, orders = b"", []
        if not data:
            self.reading = False
        taken = [delivery for order in orders if (delivery := self._looked_over(order)) is not None]
        return [delivery for delivery in taken if self.open(delivery)] if opened else taken

    def report(self, number: int, text: bytes) -> None:
        """A delivery is over; written with the next `flush`."""
        self.running.discard(number)
        self._reports.append(spawn.report(number, text, self._wide))

    def flush(self) -> None:
        """Write the reports that have gathered."""
        if self._reports:
            reports, self._reports = b"".join(self._reports), []
            _tell(reports)

    def open(self, delivery: Delivery) -> bool:
        """Open the delivery's message; False where that cannot be done, which is then its report."""
        try:
            # A fifo in the message's place must not hold us up.
            message = os.open(delivery.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self.report(delivery.number, b"Zqmail-spawn unable to open message. (#4.3.0)\n")
            return False
        if os.getppid() != self._sender:
            # The next qmail-send may have finished this message, and its number have been another one's just now.
            os.close(message)
            self.report(delivery.number, b"Zqmail-send is gone. (#4.3.0)\n")
            return False
        status = os.fstat(message)
        if stat.S_ISREG(status.st_mode) and status.st_uid == self._owner:
            delivery.message, delivery.size = message, status.st_size
            return True
        os.close(message)
        kind = b"owner" if stat.S_ISREG(status.st_mode) else b"type"
        self.report(delivery.number, b"ZSorry, message has wrong " + kind + b". (#4.3.5)\n")
        return False

    def _looked_over(self, order: spawn.Order) -> Delivery | None:
        complaint = self._complaint(order)
        if complaint:
            # Not by `report`: a number that is in use stays in use.
            self._reports.append(spawn.report(order.number, complaint, self._wide))
            return None
        self.running.add(order.number)
        return Delivery(order.number, order.message, order.sender, order.recipient, order.asked)

    def _complaint(self, order: spawn.Order) -> bytes:
        if order.number >= self.limit:
            return b"ZInternal error: delnum too big. (#4.3.5)\n"
        if order.number in self.running:
            return b"ZInternal error: delnum in use. (#4.3.5)\n"
        if not _NAME.issuperset(order.message) or order.message.startswith(b"/"):
            return b"DInternal error: messid has nonnumerics. (#5.3.5)\n"
        if len(order.message) > 99:
            return b"DInternal error: messid too long. (#5.3.5)\n"
        if not order.message:
            return b"DInternal error: messid too short. (#5.3.5)\n"
        if order.asked and not mailparameters.is_single(order.asked):
            return b"ZInternal error: bad parameters. (#4.3.5)\n"
        if b"@" not in order.recipient:
            return b"DSorry, address must include host name. (#5.1.3)\n"
        return b""


def _tell(data: bytes) -> None:
    try:
        fds.write_all(1, data)
    except OSError:
        # qmail-send is gone, or must see us gone: of a report that is lost it would never hear. What runs is finished.
        os.dup2(0, 1)
