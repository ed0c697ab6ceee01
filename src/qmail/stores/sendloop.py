"""The loop of qmail-send: what came is taken in, what may start is started, what ended is settled."""

from __future__ import annotations

from qmail.formats import logline
from qmail.host import clock, signals
from qmail.host.loop import Loop, Outlets
from qmail.rules.destinations import Destinations
from qmail.rules.dispatch import MOST, Dispatch
from qmail.rules.firstattempt import FirstAttempts
from qmail.rules.retry import AFTER_TROUBLE
from qmail.rules.routing import CHANNELS, LOCAL, REMOTE
from qmail.stores import clearing, trigger
from qmail.stores.bouncing import Bouncing
from qmail.stores.channels import Channels
from qmail.stores.clearing import Clearing
from qmail.stores.deliverystate import DeliveryState
from qmail.stores.freshmail import FreshMail
from qmail.stores.incoming import Incoming
from qmail.stores.leftovers import Leftovers
from qmail.stores.notebox import NoteBox
from qmail.stores.passes import Passes
from qmail.stores.queue import Queue
from qmail.stores.settling import Settling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.host.logwriter import LogWriter
    from qmail.stores.channels import Found
    from qmail.stores.home import Home
    from qmail.stores.sendcontrols import SendControls
    from qmail.stores.spawner import Spawner

GATHER = 0.04  # seconds in which log lines and cleaning orders gather, where there are few
MANY = 64  # orders that wait no longer
CLOCK_STEP = 10.0  # seconds by which the clock may go back unnoticed
LONGEST_WAIT = 3600.0  # seconds
LAST_WORDS = 30.0  # seconds for a log that nobody empties


class Sender:
    """One qmail-send. `limits`: deliveries by channel; `caught`: where signals are read; `log`: where lines go.

    A round costs one write of orders per spawner, one batch of files, one write of orders to qmail-clean and
    one write of log lines, however much came in it. Raises OSError where the queue cannot be read at the start.
    """

    def __init__(
        self,
        home: Home,
        environ: dict[bytes, bytes],
        controls: SendControls,
        limits: Sequence[int],
        spawners: Sequence[Spawner],
        cleaner: tuple[int, int],
        log: LogWriter,
        caught: int,
    ) -> None:
        say = log.lines.append
        queue = Queue(home.queue)
        self._loop, self._log, self._say, self._controls = Loop(), log, say, controls
        self._outlets = Outlets(self._loop)
        self._queue, self._caught = queue, caught
        # Before all that takes its time: what is accepted meanwhile is to be known as fresh.
        self._notes = self._note_box(home)
        self._state = DeliveryState(queue)
        self._incoming = Incoming(queue)
        self._destinations = Destinations(min(limits[REMOTE], MOST))
        self._destinations.rule(controls.limits, controls.relays)
        self._dispatch = Dispatch(limits, self._destinations, say)
        self._channels = Channels(
            spawners, self._dispatch, queue.split, self._loop, self._outlets, self._spawner_lost, say
        )
        self._first = FirstAttempts(limits, self._destinations, self._shown)
        self._state.sync_everything()
        # What the one before us had removed, and did not live to sync, must not come back under a new message's number.
        self._incoming.sync()
        fresh = self._incoming.numbers()
        held = self._first.held.__contains__
        self._passes = Passes(self._state, controls.lifetime, self._destinations, self._shown, say, fresh, held)
        self._mail = FreshMail(self._incoming, self._first, lambda: controls.routes, say)
        self._clearing = Clearing(*cleaner, self._incoming, say)
        self._bouncing = Bouncing(home, environ, queue, controls.names, self._loop, self._shown)
        self._settling = Settling(
            self._first, self._passes, self._state, self._incoming, self._clearing, self._bouncing, say
        )
        self._leftovers = Leftovers(queue, self._state, self._incoming, held)
        self._now, self._wall = clock.monotonic(), int(clock.now())
        self._marks_due = 0.0
        self._gathered = 0.0  # when what has gathered goes out; 0: nothing has
        self._turns = [0, 0]
        self._cleaner_alive = True
        self._settling.beware(fresh)
        self._listen(home)

    def _shown(self, recipient: bytes) -> bytes:
        return self._controls.routes.shown(recipient)

    def _note_box(self, home: Home) -> NoteBox | None:
        uid, _ = home.account(b"qmailq")
        try:
            return NoteBox(home.file(b"qs/notes"), uid, self._loop)
        except OSError:
            self._say(logline.warning(b"unable to listen for notes"))
            return None

    def _listen(self, home: Home) -> None:
        self._loop.watch(self._clearing.answers, self._answers)
        self._loop.watch(self._caught, self._signals)
        pulled = trigger.listen(home.queue)
        if pulled is None:
            self._say(logline.alert(b"lock/trigger is no fifo"))
        else:
            self._loop.watch(pulled, lambda _events: self._pulled(pulled))

    # ---- what comes

    def _pulled(self, descriptor: int) -> None:
        trigger.release(descriptor)
        self._mail.look_soon()

    def _spawner_lost(self, channel: int) -> None:
        self._first.lost(channel)
        self._exit()

    def _answers(self, _events: int) -> None:
        try:
            self._clearing.answered(self._wall)
        except clearing.Lost:
            self._cleaner_lost()

    def _cleaner_lost(self) -> None:
        if self._cleaner_alive:
            self._cleaner_alive = False
            self._say(logline.LOST_CLEANER)
            self._loop.forget(self._clearing.answers)
            self._exit()

    def _signals(self, _events: int) -> None:
        arrived = signals.arrived(self._caught)
        if signals.TERM in arrived:
            self._exit()
        if signals.ALRM in arrived:
            self._passes.run_all(self._wall)
            self._first.hurry()
            self._settling.try_again(self._wall)
            self._clearing.hurry(self._wall)
            self._mail.try_again()
        if signals.HUP in arrived:
            unread = self._controls.reread()
            if unread is not None:
                self._say(logline.alert(b"unable to reread control/" + unread))
            self._destinations.rule(self._controls.limits, self._controls.relays)

    def _exit(self) -> None:
        self._dispatch.exiting = True
        self._first.stop()
        self._settling.try_again(self._wall)

    # ---- the loop

    def run(self) -> None:
        """Until TERM, or until a helper is lost."""
        self._dispatch.status()
        self._log.flush()
        while not self._may_exit():
            self._loop.round(self._timeout())
            self._round()
        self._close_down()

    def _round(self) -> None:
        now, wall = clock.monotonic(), int(clock.now())
        if wall - now < self._wall - self._now - CLOCK_STEP:
            self._clock_was_set_back(wall)
        self._now, self._wall = now, wall
        if not self._dispatch.exiting:
            # After all that was said in this round: whoever handed a message over has its answer before its note.
            for note in self._notes.take() if self._notes is not None else ():
                self._mail.note(note, now)
            self._mail.work(now)
            self._passes.take_over(wall)
            self._first.overdue(now)
            self._destinations.tell(now, wall)
            self._channels.start(self._following)
        self._channels.send_rest()
        self._bouncing.sweep(now)
        self._settling.round(wall, hurry=self._dispatch.exiting)
        self._tidy(wall)
        self._let_out(now)
        if now >= self._marks_due:
            self._marks_due = now + 1.0
            self._state.sync_marks()

    def _clock_was_set_back(self, wall: int) -> None:
        """Nothing waits longer than it could have waited from now on."""
        self._passes.clock_was_set_back(wall)
        self._settling.try_again(wall + AFTER_TROUBLE)
        self._clearing.hurry(wall + AFTER_TROUBLE)
        self._leftovers.clock_was_set_back(wall)

    def _let_out(self, now: float) -> None:
        """Log lines and cleaning orders, those of some rounds together: each write wakes somebody."""
        if not (self._gathered or self._log.waiting or self._clearing.waiting):
            return
        if not self._gathered:
            self._gathered = now + GATHER
        if now >= self._gathered or self._clearing.waiting >= MANY or self._dispatch.exiting:
            self._gathered = 0.0
            self._outlets.wrote(self._log.descriptor, self._log.flush())
            try:
                if self._cleaner_alive:
                    self._clearing.push()
            except clearing.Lost:
                self._cleaner_lost()

    def _tidy(self, wall: int) -> None:
        """Ask again for what qmail-clean could not remove, and look for what crashes have left."""
        self._clearing.resume(wall)
        if wall >= self._leftovers.next_time and not self._clearing.busy:
            for number in self._leftovers.step(wall):
                self._clearing.ask(b"foop", number, lambda _number: None)

    def _following(self, channel: int) -> Found | None:
        """Fresh messages go first, but one start in four is for queued ones that are due.

        Remote ones that waited at their destinations and may go have every other start.
        """
        turn = self._turns[channel] = (self._turns[channel] + 1) % 4
        if turn % 2 and channel == REMOTE and (waited := self._destinations.next()) is not None:
            return waited
        if channel == LOCAL and self._gathers():
            return None
        found: Found | None
        if turn:
            found = self._first.next(channel, self._now) or self._passes.next(channel, self._wall)
        else:
            found = self._passes.next(channel, self._wall) or self._first.next(channel, self._now)
        if found is None and channel == REMOTE:
            found = self._destinations.next() or self._destinations.next_beyond()
        return found

    def _gathers(self) -> float:
        # How long local deliveries wait for more of them still.
        return self._first.gathers(self._dispatch.room(LOCAL), self._now)

    def _timeout(self) -> float:
        if self._settling.pending() or (not self._dispatch.exiting and self._may_start()):
            return 0.0
        walls = [self._settling.next_time(), self._clearing.next_time()]
        if not self._clearing.busy:
            walls.append(self._leftovers.next_time)
        nows = [self._marks_due if self._state.marks_wait() else None, self._bouncing.next_time()]
        nows.append(self._gathered or None)
        if not self._dispatch.exiting:
            nows += [self._first.next_deadline(), self._mail.next_time()]
            nows.append(self._now + gathers if (gathers := self._gathers()) else None)
            if self._dispatch.room(REMOTE):
                nows.append(self._destinations.next_time())
            walls.append(self._passes.earlier.next_time())
            walls += [self._passes.due[channel].first() for channel in self._open()]
        waits: list[float] = [when - self._wall for when in walls if when is not None]
        waits += [when - self._now for when in nows if when is not None]
        return min(max(min(waits, default=LONGEST_WAIT), 0.0), LONGEST_WAIT)

    def _may_start(self) -> bool:
        return bool(
            self._mail.pending()
            or (self._dispatch.room(REMOTE) and self._destinations.pending())
            or any(self._first.pending(channel) or self._passes.pending(channel) for channel in self._open())
        )

    def _open(self) -> list[int]:
        """The channels on which deliveries may start now."""
        return [
            channel for channel in CHANNELS
            if self._dispatch.room(channel) and not (channel == LOCAL and self._gathers())
        ]  # fmt: skip

    # ---- the end

    def _may_exit(self) -> bool:
        if not self._dispatch.exiting or self._bouncing.busy or self._settling.pending():
            return False
        if self._cleaner_alive and self._clearing.busy:
            return False
        return not self._channels.running()

    def _close_down(self) -> None:
        self._state.sync_marks()
        self._state.sync_names()
        self._passes.postpone_all()
        self._say(logline.EXITING)
        deadline = clock.monotonic() + LAST_WORDS
        while not self._log.flush() and clock.monotonic() < deadline:
            self._outlets.wrote(self._log.descriptor, False)
            self._loop.round(1.0)
