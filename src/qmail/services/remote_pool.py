"""Workers as qmail-rspawn sees them, and the places where their connections lead."""

from __future__ import annotations

import _socket
import array
import os

from qmail.host.clock import monotonic
from qmail.protocols import handover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.deliveries import Delivery

    Ancillary = list[tuple[int, int, bytes]]


class Place:
    """Where deliveries lead: who is at work there, and how long one takes at best lately."""

    __slots__ = ("busy", "floor")

    def __init__(self) -> None:
        self.busy: dict[Worker, None] = {}
        self.floor = 1e9  # seconds

    def took(self, seconds: float) -> None:
        """A delivery is over. What is slow once is forgotten after some dozen quick ones, and the reverse."""
        self.floor = min(seconds, self.floor * 1.02)


class Worker:
    """A process that makes deliveries one after the other.

    `ours` and `theirs` are the ends of its socket: ours to give jobs and hear answers, theirs to take jobs
    back that it has not begun. `jobs` are those without an answer, in the order they were given.
    """

    __slots__ = ("ending", "jobs", "ours", "pid", "place", "since", "theirs")

    def __init__(self, pid: int, ours: _socket.socket, theirs: _socket.socket) -> None:
        self.pid, self.ours, self.theirs = pid, ours, theirs
        self.ending = os.pidfd_open(pid)
        self.place: Place | None = None  # where its connection leads
        self.jobs: dict[int, Delivery] = {}
        self.since = monotonic()  # begin of its present delivery, or of its idleness

    def give(self, place: Place, delivery: Delivery) -> bool:
        """Hand a delivery over, with its message; False where the worker cannot take it."""
        addresses = delivery.host, delivery.sender, delivery.recipient
        job = handover.job(delivery.number, delivery.size, *addresses, delivery.asked)
        descriptors = array.array("i", (delivery.message,))
        try:
            self.ours.sendmsg([job], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
        except OSError:
            return False
        os.close(delivery.message)
        if not self.jobs:
            self.since = monotonic()
        if self.place is not place:
            self.place = place
        place.busy[self] = None
        self.jobs[delivery.number] = delivery
        return True

    def answer(self) -> tuple[int, bytes] | None:
        """The next delivery that it has answered: number and records. None where nothing (more) has come."""
        try:
            packet = self.ours.recv(handover.LARGEST_ANSWER)
        except OSError:
            return None
        number = handover.number(packet)
        if self.place is None or self.jobs.pop(number, None) is None:
            return None
        now = monotonic()
        self.place.took(now - self.since)
        self.since = now
        if not self.jobs:
            self.place.busy.pop(self, None)
        return number, handover.records(packet)

    def recall(self) -> list[Delivery]:
        """Take back what it has not begun."""
        found = []
        while len(self.jobs) > 0:
            try:
                packet, ancillary, _, _ = self.theirs.recvmsg(handover.LARGEST, 64, _socket.MSG_DONTWAIT)
            except OSError:
                break
            delivery = self.jobs.pop(handover.number(packet), None)
            message = descriptor(ancillary)
            if delivery is None:
                os.close(message)
                continue
            delivery.message = message
            found.append(delivery)
        if not self.jobs and self.place is not None:
            self.place.busy.pop(self, None)
        return found

    def close(self) -> None:
        """Say no more to it; it ends when it sees that."""
        self.ours.close()
        self.theirs.close()


def descriptor(ancillary: Ancillary) -> int:
    """The one descriptor that came with a packet. Raises ValueError."""
    ((_, _, data),) = ancillary
    (number,) = array.array("i", data)
    return number
