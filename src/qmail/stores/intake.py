"""Messages on their way to becoming arrivals: what was said of each so far, checked and written."""

from __future__ import annotations

from qmail.formats import besides, envelope, mailparameters, queuefile, received
from qmail.host import clock, durable
from qmail.stores.arrival import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.arrival import Arrival
    from qmail.stores.door import Door
    from qmail.stores.home import Home

LONGEST = 86_400.0  # seconds for a message to arrive
LEFT = (envelope.TOO_LONG, envelope.MALFORMED)


INVOKED = {b"alias": b"by alias", b"qmaild": b"from network", b"qmails": b"for bounce"}


class Desk:
    """Where messages begin: each gets the line that says who brought it, and its number for the log."""

    def __init__(self, home: Home) -> None:
        users = {} if home.single else {name: home.account(name)[0] for name in INVOKED}
        self._by = {uid: INVOKED[name] for name, uid in users.items()}
        self.busy = frozenset(users[name] for name in users if name != b"alias")  # who brings other people's mail
        # Numbers for messages of resident clients, which go on where an earlier process cannot have been.
        self._qp = int(clock.now() * 1000) - 1_700_000_000_000
        self._second, self._date = 0, b""

    def begin(self, uid: int, pid: int | None) -> Intake:
        """A message of this user. `pid`: that of a program which brings no other one."""
        if pid is None:
            self._qp += 1
        qp = self._qp if pid is None else pid
        second = int(clock.now())
        if second != self._second:
            self._second, self._date = second, received.date(second)
        by = self._by.get(uid) or b"by uid %d" % uid
        line = b"Received: (qmail %d invoked %b); %b\n" % (qp, by, self._date)
        return Intake(line, uid, qp, clock.monotonic() + LONGEST, alone=pid is not None)


class Intake:
    """A message that user `uid` sends; `qp` is the number that the log will know it by."""

    __slots__ = ("_alone", "_besides", "_check", "_head", "_line", "_uid", "arrival", "due", "qp")

    def __init__(self, line: bytes, uid: int, qp: int, due: float, *, alone: bool) -> None:
        self._line, self._alone = line, alone  # the line goes in front of the message
        self._uid = uid
        self._head = b"u%d\0p%d\0" % (uid, qp)
        self._check = envelope.Check()
        self._besides = besides.Reader()
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
            message.insert(0, self._line)
            arrival = self.arrival = door.begin(sum(map(len, message)), alone=self._alone)
        if message:
            arrival.write(message)
            if arrival.waiting > durable.EARLY:
                arrival.write_out()
        if records:
            checked = self._check.feed(b"".join(records))
            if self._check.code:
                raise Refused(self._check.code)
            if checked:
                arrival.envelope(checked if arrival.enveloped else self._head + checked)
            if self._check.behind:
                self._put_besides(arrival)
        return arrival

    def _put_besides(self, arrival: Arrival) -> None:
        """Write what stands behind the envelope, if that is for us. Raises Refused."""
        try:
            records = self._besides.feed(self._check.behind)
        except mailparameters.Malformed:
            raise Refused(envelope.MALFORMED) from None
        if records:
            arrival.envelope(queuefile.besides(self._uid, records))

    def complete(self) -> None:
        """Nothing more comes. Raises Refused where it ought to."""
        try:
            self._besides.end()
        except mailparameters.Malformed:
            raise Refused(envelope.MALFORMED) from None

    def end(self, code: int) -> None:
        """It was refused with `code`: let go of what was made."""
        if self.arrival is not None:
            # qmail-queue leaves what came with a bad envelope, so that it can be looked at; qmail-clean takes it.
            self.arrival.leave() if code in LEFT else self.arrival.drop()
