"""One message from one client, on its way to becoming an arrival: what was said of it so far, checked and written."""

from __future__ import annotations

from qmail.formats import envelope
from qmail.stores.arrival import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.arrival import Arrival
    from qmail.stores.door import Door

WRITE_OUT = 4 * 1024 * 1024  # bytes of a large message that may wait for the disk
LEFT = (envelope.TOO_LONG, envelope.MALFORMED)


class Intake:
    """A message that user `uid` sends; `qp` is the number that the log will know it by."""

    __slots__ = ("_check", "_head", "_line", "arrival", "due", "qp")

    def __init__(self, line: bytes, uid: int, qp: int, due: float) -> None:
        self._line = line  # goes in front of the message
        self._head = b"u%d\0p%d\0" % (uid, qp)
        self._check = envelope.Check()
        self.qp, self.due = qp, due
        self.arrival: Arrival | None = None

    @property
    def whole(self) -> bool:
        """Was the envelope given to its end?"""
        return self._check.whole

    def put(self, door: Door, message: list[bytes], records: list[bytes]) -> Arrival:
        """Write more of the message, and after all of it of the envelope. Raises Refused."""
        arrival = self.arrival
        if arrival is None:
            arrival = self.arrival = door.begin()
            message.insert(0, self._line)
        if message:
            arrival.write(message)
            if arrival.waiting > WRITE_OUT:
                arrival.write_out()
        if records:
            checked = self._check.feed(b"".join(records))
            if self._check.code:
                raise Refused(self._check.code)
            arrival.envelope(checked if arrival.written else self._head + checked)
        return arrival

    def end(self, code: int) -> None:
        """It was refused with `code`: let go of what was made."""
        if self.arrival is not None:
            # qmail-queue leaves what came with a bad envelope, so that it can be looked at; qmail-clean takes it.
            self.arrival.close() if code in LEFT else self.arrival.drop()
