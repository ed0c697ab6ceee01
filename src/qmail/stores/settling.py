"""Where messages go after their attempts: to their senders, to files of their own, or out of the queue.

    complete first attempt      failures are told, then todo/N and mess/N go
    incomplete first attempt    info, local, remote and bounce are written, then todo/N goes, then passes begin
    passes finished             failures are told, bounce/N and info/N go, then mess/N

What the system refuses is tried again after 123 seconds, and nothing is delivered again meanwhile.
"""

from __future__ import annotations

from qmail.formats import bounce, logline, queuefile
from qmail.formats.bounce import DOUBLE
from qmail.formats.queuefile import Corrupt
from qmail.rules import freshmessage
from qmail.rules.freshmessage import COMPLETE, LISTED, PREPARED
from qmail.rules.retry import AFTER_TROUBLE
from qmail.rules.schedule import Schedule
from qmail.stores.deliverystate import KINDS, Prepared, Trouble
from qmail.stores.notice import Notice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qmail.formats.deliverystatus import Fate
    from qmail.rules.firstattempt import FirstAttempts
    from qmail.rules.freshmessage import Fresh, Places
    from qmail.stores.bouncing import Bouncing
    from qmail.stores.clearing import Clearing
    from qmail.stores.deliverystate import DeliveryState
    from qmail.stores.incoming import Incoming
    from qmail.stores.passes import Passes

A_BATCH = 64  # messages; each has at most four files open

NOTICE_NOT_STARTED = b"trouble injecting success notice, will try later"
NOT_STARTED = b"trouble injecting bounce message, will try later"


class Settling:
    """One round's endings, for everything that ended in it. `say` takes log lines."""

    def __init__(
        self,
        first: FirstAttempts,
        passes: Passes,
        state: DeliveryState,
        incoming: Incoming,
        clearing: Clearing,
        bouncing: Bouncing,
        say: Callable[[bytes], None],
    ) -> None:
        self._first, self._passes, self._state, self._incoming = first, passes, state, incoming
        self._clearing, self._bouncing, self._say = clearing, bouncing, say
        self._again = Schedule()
        self._unsure = Schedule()  # gone, and not yet durably
        self._refused: dict[int, Fresh] = {}
        self._partly: set[int] = set()  # there may be files of a preprocessing that came to no end
        self._places: dict[int, Sequence[Places]] = {}
        self._ending: list[int] = []
        self._now = 0  # of this round

    def beware(self, numbers: Iterable[int]) -> None:
        """Some of these, which are in todo/ at the start, may have been preprocessed half."""
        self._partly.update(numbers)

    def round(self, now: int, *, hurry: bool = False) -> None:
        """Settle what ended. `hurry`: this qmail-send is about to end."""
        self._now = now
        self._passes.settle(now)
        for notice, then in self._passes.endings.notices(now, hurry=hurry):
            self._bouncing.tell(notice, then)
        complete, self._first.complete = self._first.complete, []
        for fresh in complete:
            self._complete(fresh)
        while (number := self._again.take(now)) is not None:
            refused = self._refused.pop(number, None)
            if refused is not None:
                (self._first.complete if refused.stage == COMPLETE else self._first.incomplete).append(refused)
        if self._first.incomplete:
            self._prepare(now)
        for _ in range(A_BATCH):
            number = self._passes.finished.take(now)
            if number is None:
                break
            self._finish(number, now)
        if self._ending:
            self._remove(now)
        self._remove_unsure(now)

    def pending(self) -> bool:
        """Is there more to settle at once?"""
        return bool(self._first.complete or self._first.incomplete or self._ending)

    def next_time(self) -> int | None:
        """When something refused is to be tried again, or a message finished."""
        schedules = (self._again, self._unsure, self._passes.finished)
        times = (*map(Schedule.first, schedules), self._passes.endings.next_time())
        return min((when for when in times if when is not None), default=None)

    def try_again(self, now: int) -> None:
        """Try at once what was refused."""
        self._again.no_later_than(now)
        self._unsure.no_later_than(now)

    # ---- the first attempt did it all

    def _complete(self, fresh: Fresh) -> None:
        self._refused.pop(fresh.number, None)  # it was refused files, and does not need them any more
        if fresh.successes or fresh.telling:
            self._tell_successes(fresh)
            return
        if not self._forgotten(fresh, self._now):
            return
        if not fresh.failures:
            self._clear(fresh)
        elif fresh.sender == DOUBLE:
            self._say(logline.triple(fresh.number))
            self._clear(fresh)
        else:
            notice = Notice(fresh.number, fresh.sender, fresh.parameters, text=b"".join(fresh.failures))
            self._bouncing.tell(notice, lambda qp: self._told(fresh, qp))

    def _told(self, fresh: Fresh, qp: int | None) -> None:
        if qp is None:
            self._say(logline.warning(NOT_STARTED))
            self._first.give_up(fresh)
        else:
            self._say(logline.bounce(fresh.number, qp))
            self._clear(fresh)

    # ---- before anybody counts as done, his sender has heard of it who asked to

    def _tell_successes(self, fresh: Fresh) -> None:
        """Tell of those there are, if no others are being told; afterwards it goes on as it would have."""
        if fresh.telling:
            return
        self._refused.pop(fresh.number, None)
        fates, fresh.successes = fresh.successes, []
        fresh.telling = True
        notice = Notice(fresh.number, fresh.sender, fresh.parameters, subject=bounce.SUCCESS, fates=fates)
        self._bouncing.tell(notice, lambda qp: self._successes_told(fresh, fates, qp))

    def _successes_told(self, fresh: Fresh, fates: list[Fate], qp: int | None) -> None:
        fresh.telling = False
        if qp is None:
            fresh.successes[:0] = fates
            self._put_off(fresh, NOTICE_NOT_STARTED, self._now)
            return
        self._say(logline.notice(fresh.number, qp))
        # Its last delivery may have ended in this round, and put it there already: whoever goes twice takes the next
        # message of its number along.
        waiting = self._first.complete if fresh.stage == COMPLETE else self._first.incomplete
        if fresh not in waiting:
            waiting.append(fresh)

    def _clear(self, fresh: Fresh) -> None:
        self._say(logline.end(fresh.number))
        self._clearing.ask(b"todo", fresh.number, self._clear_message)

    def _clear_message(self, number: int) -> None:
        # Whatever is called todo/N from now on is a new message: mess/N may be gone long before we hear of it.
        self._first.let_go(number)
        self._clearing.ask(b"foop", number, _nothing)

    # ---- the first attempt left something to do

    def _prepare(self, now: int) -> None:
        batch: list[Fresh] = []
        texts: list[Prepared] = []
        incomplete = self._first.incomplete
        while incomplete and len(batch) < A_BATCH:
            fresh = incomplete.popleft()
            if fresh.stage != LISTED:
                continue  # it was late, but not too late: completed while it waited here, it goes, or is gone
            if fresh.successes or fresh.telling:
                self._tell_successes(fresh)
                continue
            texts_by_channel, self._places[fresh.number] = freshmessage.records(fresh)
            info = queuefile.info(fresh.sender, fresh.parameters)
            batch.append(fresh)
            texts.append(Prepared(fresh.number, info, texts_by_channel, b"".join(fresh.failures)))
        troubles = self._state.prepare(texts)
        for fresh in batch:
            trouble = troubles.get(fresh.number)
            if trouble is None:
                self._partly.discard(fresh.number)
                fresh.stage = PREPARED
                self._clearing.ask(b"todo", fresh.number, self._adopt)
            else:
                self._refuse(fresh, trouble, now)

    def _refuse(self, fresh: Fresh, trouble: Trouble, now: int) -> None:
        self._partly.add(fresh.number)
        self._put_off(fresh, trouble.text, now)

    def _put_off(self, fresh: Fresh, text: bytes, now: int) -> None:
        self._say(logline.warning(text))
        self._refused[fresh.number] = fresh
        self._again.add(fresh.number, now + AFTER_TROUBLE)

    def _forgotten(self, fresh: Fresh, now: int) -> bool:
        """Is there nothing, or nothing any more, of a preprocessing that came to no end?

        Left beside a number that is used again, it would take the new message to other people.
        """
        if fresh.number not in self._partly:
            return True
        try:
            self._state.forget(fresh.number)
            if not self._state.sync_names():
                raise Trouble(b"trouble fsyncing " + self._state.name(b"info", fresh.number))
        except Trouble as trouble:
            self._refuse(fresh, trouble, now)
            return False
        self._partly.discard(fresh.number)
        return True

    def _adopt(self, number: int) -> None:
        """Its own files count from now on: todo/N is gone, durably."""
        fresh = self._first.held[number]
        self._first.let_go(number)
        self._passes.adopt(fresh, self._places.pop(number), self._now)

    # ---- all passes are over

    def _finish(self, number: int, now: int) -> None:
        try:
            if number in self._first.held or self._incoming.has(number):
                return  # a message of today; whatever else there is of this number is stale
            for kind in KINDS:
                if self._state.has(kind, number):
                    return
            if not self._state.has(b"info", number):
                return
            if not self._state.has(b"bounce", number):
                self._ending.append(number)
                return
        except OSError:
            self._finish_later(number, b"unable to stat " + self._state.name(b"info", number), now)
            return
        try:
            sender, _, asked = self._state.info(number)
        except (OSError, Corrupt):
            self._finish_later(number, b"trouble opening " + self._state.name(b"info", number), now)
            return
        if sender == DOUBLE:
            self._say(logline.triple(number))
            self._forget_failures(number, now)
        else:
            self._bouncing.tell(Notice(number, sender, asked), lambda qp: self._told_queued(number, qp))

    def _told_queued(self, number: int, qp: int | None) -> None:
        if qp is None:
            self._say(logline.warning(NOT_STARTED))
            self._passes.finished.add(number, self._now + AFTER_TROUBLE)
        else:
            self._say(logline.bounce(number, qp))
            self._forget_failures(number, self._now)

    def _forget_failures(self, number: int, now: int) -> None:
        try:
            self._state.remove(b"bounce", number)
            self._ending.append(number)
        except Trouble as trouble:
            self._finish_later(number, trouble.text, now)

    def _finish_later(self, number: int, text: bytes, now: int) -> None:
        self._say(logline.warning(text + b"; will try again later"))
        self._passes.finished.add(number, now + AFTER_TROUBLE)

    def _remove(self, now: int) -> None:
        ending, self._ending = self._ending, []
        gone = []
        for number in ending:
            self._say(logline.end(number))
            try:
                self._state.remove(b"info", number)
                gone.append(number)
            except Trouble as trouble:
                self._finish_later(number, trouble.text, now)
        # A number is given back only when no name of it can come back.
        if self._state.sync_names():
            for number in gone:
                self._clearing.ask(b"foop", number, _nothing)
        elif gone:
            self._say(logline.warning(b"trouble fsyncing info"))
            for number in gone:
                self._unsure.add(number, now + AFTER_TROUBLE)

    def _remove_unsure(self, now: int) -> None:
        """Give back the numbers of messages that are gone, where that could not be made durable before."""
        numbers = []
        while (number := self._unsure.take(now)) is not None:
            numbers.append(number)
        if numbers and self._state.sync_names():
            for number in numbers:
                self._clearing.ask(b"foop", number, _nothing)
        else:
            for number in numbers:
                self._unsure.add(number, now + AFTER_TROUBLE)


def _nothing(_number: int) -> None:
    """The message is gone, and nobody waits for that."""
