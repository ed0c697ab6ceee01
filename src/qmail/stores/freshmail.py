"""How fresh messages come to qmail-send: by notes, and by looking through todo/.

A note saves opening todo/N. Everything else is found by a look through the directory: at start, after
the trigger was pulled, and every 25 minutes. Of the messages of a channel that many wait for, only
the numbers are kept, and todo/N is read again in its turn. A file that makes no sense is left where
it is and said once.
"""

from __future__ import annotations

from collections import deque

from qmail.formats import logline, queuefile
from qmail.rules.freshmessage import Fresh
from qmail.rules.retry import AFTER_TROUBLE
from qmail.rules.routing import CHANNELS, LOCAL, REMOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.formats.note import Note
    from qmail.formats.queuefile import Envelope
    from qmail.rules.firstattempt import FirstAttempts
    from qmail.rules.routing import Routes
    from qmail.stores.incoming import Identity, Incoming

MOST_WAITING = 1000  # recipients of a channel beyond which only numbers are kept
ENOUGH_WAITING = 500  # and below which they are read again
_A_ROUND = 100  # files read before others get a turn
INTERVAL = 1500.0  # seconds between looks in any case
LEAST_INTERVAL = 0.05  # seconds between looks, however often the trigger is pulled


class FreshMail:
    """The way from todo/ into the first attempts. `routes` is asked for each message; `say` takes log lines."""

    def __init__(
        self, incoming: Incoming, first: FirstAttempts, routes: Callable[[], Routes], say: Callable[[bytes], None]
    ) -> None:
        self._incoming, self._first, self._routes, self._say = incoming, first, routes, say
        self._seen: deque[int] = deque()  # by a look, and not read yet
        self._later: tuple[deque[int], ...] = (deque(), deque())  # by channel: numbers only
        self._known: set[int] = set()  # what is in these
        self._unreadable: dict[int, tuple[float, Identity]] = {}  # number: when to try again (0: never), of which file
        self._next_look = 0.0
        self._last_look = -INTERVAL

    def look_soon(self) -> None:
        """There is something in todo/ that no note told of."""
        self._next_look = 0.0

    def try_again(self) -> None:
        """Look at everything, also at what made no sense before."""
        self._unreadable.clear()
        self.look_soon()

    def note(self, note: Note, now: float) -> None:
        """qmail-queued tells of a message. It does not wait for what was in todo/ before, though a look has seen it."""
        number = note.number
        if number in self._first.held:
            return
        if not self._incoming.confirms(note):
            self.look_soon()
            return
        try:
            envelope = queuefile.parse_todo(note.todo)
        except queuefile.Corrupt:
            self.look_soon()
            return
        self._take(number, envelope, note.mess_size, now)

    def work(self, now: float) -> None:
        """Look, where it is time to, and read some of what was found."""
        if now >= self._next_look and now >= self._last_look + LEAST_INTERVAL:
            self._look(now)
        if self._known:
            for _ in range(_A_ROUND):
                open_ = [self._later[channel] for channel in CHANNELS if self._may_go_on(channel)]
                if self._seen:
                    open_.insert(0, self._seen)
                if not open_:
                    break
                self._read(open_[0].popleft(), now)

    def pending(self) -> bool:
        """Is there something to read at once?"""
        return bool(self._known) and (bool(self._seen) or any(map(self._may_go_on, CHANNELS)))

    def next_time(self) -> float:
        """When the next look is due."""
        return max(self._next_look, self._last_look + LEAST_INTERVAL)

    def _may_go_on(self, channel: int) -> bool:
        """Is there a number of this channel that is to be read now?"""
        first = self._first
        return (
            bool(self._later[channel])
            and first.waiting(channel) < ENOUGH_WAITING
            and len(first.incomplete) < ENOUGH_WAITING
        )

    def _look(self, now: float) -> None:
        self._last_look, self._next_look = now, now + INTERVAL
        try:
            there = self._incoming.numbers()
        except OSError:
            self._say(logline.alert(b"unable to opendir todo, sleeping..."))
            self._next_look = now + 10.0
            return
        held = self._first.held
        for number in self._unreadable.keys() - set(there):
            del self._unreadable[number]
        for number in there:
            if number not in held and number not in self._known and self._may_read(number, now):
                self._known.add(number)
                self._seen.append(number)
        self._next_look = min([self._next_look, *(when for when, _ in self._unreadable.values() if when)])

    def _may_read(self, number: int, now: float) -> bool:
        if number in self._unreadable:
            when, identity = self._unreadable[number]
            if (not when or now < when) and self._incoming.identity(number) == identity:
                return False
            del self._unreadable[number]
        return True

    def _read(self, number: int, now: float) -> None:
        self._known.discard(number)
        if number in self._first.held:
            return
        corrupt: queuefile.Corrupt | None = None
        try:
            envelope = self._incoming.read(number)
        except FileNotFoundError:
            return  # done with since it was seen
        except queuefile.Corrupt as error:
            corrupt = error
        except OSError:
            self._put_off(number, b"trouble reading todo/%d" % number, now + AFTER_TROUBLE)
            return
        try:
            size = self._incoming.size(number)
        except OSError as error:
            when = 0.0 if isinstance(error, FileNotFoundError) else now + AFTER_TROUBLE
            self._put_off(number, b"unable to stat " + self._incoming.message_name(number), when)
            return
        if corrupt is None:
            self._take(number, envelope, size, now)
            return
        self._say(logline.new(number))
        if corrupt.before is not None:
            self._say_info(number, corrupt.before, size)
        self._put_off(number, b"unknown record type in todo/%d" % number, 0.0)

    def _say_info(self, number: int, envelope: Envelope, size: int) -> None:
        self._say(logline.info(number, size, envelope.sender, envelope.pid, envelope.uid))

    def _put_off(self, number: int, text: bytes, when: float) -> None:
        self._say(logline.warning(text))
        self._unreadable[number] = when, self._incoming.identity(number)
        if when:
            self._next_look = min(self._next_look, when)

    def _take(self, number: int, envelope: Envelope, size: int, now: float) -> None:
        first = self._first
        route = self._routes().route
        recipients = list(map(route, envelope.recipients))
        asked = envelope.parameters
        if asked is not None:
            asked = asked.renamed(lambda recipient: route(recipient)[1])
        fresh = Fresh(number, envelope.sender, recipients, asked)
        channel = LOCAL
        for where, _ in recipients:
            if where == REMOTE:
                channel = REMOTE
        without = first.needs_files(fresh)
        if (len(first.incomplete) if without else first.waiting(channel)) >= MOST_WAITING:
            self._known.add(number)
            self._later[channel].append(number)
            return
        self._say(logline.new(number))
        self._say_info(number, envelope, size)
        if without:
            first.add_without(fresh)
        else:
            first.add(fresh, now)
