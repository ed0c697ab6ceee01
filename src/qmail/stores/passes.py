"""Passes over queued messages: each attempt reads local/N or remote/N once and delivers to whoever is left.

A pass is over when its file is read to the end, none of its deliveries runs and nobody of it waits at a
destination. Then the message is scheduled for its next attempt, or the channel is done; a message with both
channels done is finished.
"""

from __future__ import annotations

from qmail.formats import logline
from qmail.formats.queuefile import Corrupt
from qmail.rules import retry
from qmail.rules.destination import QUEUED
from qmail.rules.freshmessage import RUNNING, Heir
from qmail.rules.outcome import DEFERRED
from qmail.rules.routing import CHANNELS, REMOTE
from qmail.rules.schedule import Schedule
from qmail.stores.deliverystate import KINDS, Trouble
from qmail.stores.earliermail import EarlierMail
from qmail.stores.endings import Endings
from qmail.stores.onepass import Again, Pass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Sequence

    from qmail.rules.destinations import Destinations
    from qmail.rules.freshmessage import Fresh, Places
    from qmail.stores.deliverystate import DeliveryState
    from qmail.stores.recipientfile import Recipients


_MOST_SEEN = 64  # files looked into, or recipients seen, before others get a turn


class Passes:
    """All queued messages. `shown`: a recipient as the sender knows it; `say` takes log lines.

    Of `fresh`, which are in todo/ now, and of what is `held` as fresh mail later, whatever else there is is stale.
    """

    def __init__(
        self,
        state: DeliveryState,
        lifetime: int,
        destinations: Destinations,
        shown: Callable[[bytes], bytes],
        say: Callable[[bytes], None],
        fresh: Iterable[int],
        held: Callable[[int], bool],
    ) -> None:
        self._state, self._lifetime, self._say = state, lifetime, say
        self._destinations = destinations
        self.due = (Schedule(), Schedule())
        self.finished = Schedule()  # both channels done
        self.earlier = EarlierMail(state, self.due, self.finished, fresh, held, say)
        self._reading: list[Pass | None] = [None, None]
        self._begun: tuple[dict[int, Pass], dict[int, Pass]] = ({}, {})  # not to be opened as others are
        self._over: list[Pass] = []
        self.endings = Endings(state, shown, self._leave, say)

    def adopt(self, fresh: Fresh, places: Sequence[Places], now: int) -> None:
        """A message leaves its first attempt; `places`: its recipients in the files, by channel."""
        self.earlier.queued(fresh.number)
        heirs = {}
        for channel, place in enumerate(places):
            if not (place.tried or place.untried):
                continue
            results = {at: fresh.results[key] for key, at in place.tried.items()}
            one = Pass(self, channel, fresh.number, fresh.sender, now, fresh.parameters)
            self._attempted(one, now)
            if fresh.hurried:
                one.retry_at = now
            one.running = sum(result == RUNNING for result in results.values())
            one.left = len(results)
            one.put_off(at for at, result in results.items() if result == DEFERRED)
            heirs[channel] = Heir(one, place.tried)
            if place.untried:
                # These have their turn now, as part of this pass.
                one.skip = frozenset(results)
                self._begun[channel][fresh.number] = one
                self.due[channel].add(fresh.number, now)
            else:
                one.read = True
                if not one.running:
                    self._over.append(one)
        if not heirs:
            # Its failures were not taken just now.
            self.finished.add(fresh.number, now + retry.AFTER_TROUBLE if fresh.untold else now)
        fresh.queued(heirs)

    def take_over(self, now: int) -> None:
        """A part of what was queued before, if all of it has not come yet."""
        if self.earlier.next_time() is not None:
            self.earlier.work(now, now + retry.longest_wait(self._lifetime))

    def next(self, channel: int, now: int) -> tuple[Pass, int, bytes] | None:
        """The next delivery to start: pass, place in the file, recipient. None where nothing is due."""
        for _ in range(_MOST_SEEN):
            one = self._reading[channel]
            if one is None:
                number = self.due[channel].take(now)
                if number is None:
                    return None
                one = self._reading[channel] = self._open(channel, number, now)
            elif (found := self._read(one)) is not None and (channel != REMOTE or self._goes(one, *found)):
                one.running += 1
                return one, *found
        return None

    def pending(self, channel: int) -> bool:
        """Is there a file to be read on?"""
        return self._reading[channel] is not None

    # ---- at destinations

    def _goes(self, one: Pass, position: int, recipient: bytes) -> bool:
        """May this remote recipient go now? Else it waits at its destination."""
        place = self._destinations.of(recipient)
        if self._destinations.admits(place):
            return True
        one.waiting += 1
        self._destinations.wait(place, QUEUED, one, position)
        return False

    def waiting_recipient(self, one: Pass, position: int) -> bytes | None:
        """One that waits at its destination; None where it waits no longer, because it cannot be read."""
        try:
            return self._state.recipient(one.channel, one.number, position)
        except (OSError, Corrupt):
            self._cannot_read(one)
            one.waiting -= 1
            self._end_if_over(one)
        return None

    def begin_waiting(self, one: Pass, now: int) -> None:
        """One that waited at its destination is delivered to."""
        one.waiting -= 1
        one.running += 1
        self._attempted(one, now)

    def _attempted(self, one: Pass, now: int) -> None:
        """An attempt of this pass is made now."""
        one.retry_at = retry.next_attempt(one.birth, now, one.channel)
        one.last_try = retry.expired(one.birth, now, self._lifetime)
        one.late = one.parameters is not None and retry.told_of_delay(one.birth, now, one.channel)

    # ---- reading

    def _open(self, channel: int, number: int, now: int) -> Pass | None:
        one = self._begun[channel].pop(number, None)
        again = one.again if one is not None else None
        kind = KINDS[channel]
        try:
            recipients = self._reader(channel, number, again)
            try:
                kind = b"info"
                if one is None:
                    sender, birth, parameters = self._state.info(number)
                    one = Pass(self, channel, number, sender, birth, parameters)
                    self._attempted(one, now)
                elif again is not None:
                    one.begin_again(again)
                    self._attempted(one, now)
            except (OSError, Corrupt):
                recipients.close()
                raise
        except (OSError, Corrupt):
            name = self._state.name(kind, number)
            self._say(logline.warning(b"trouble opening " + name + b"; will try again later"))
            if one is not None and (one.running or one.waiting):
                self._begun[channel][number] = one
            self.due[channel].add(number, now + retry.AFTER_TROUBLE)
            return None
        one.recipients = recipients
        return one

    def _reader(self, channel: int, number: int, again: array[int] | None) -> Recipients | Again:
        if again is None:
            return self._state.recipients(channel, number)
        return Again(self._state, channel, number, again)

    def _read(self, one: Pass) -> tuple[int, bytes] | None:
        """The next recipient, or None after the pass was closed for reading."""
        assert one.recipients is not None
        try:
            while (found := one.recipients.next()) is not None:
                if found[0] not in one.skip and not self.endings.is_done(one, found[0]):
                    one.left += 1
                    return found
            one.read, one.torn = True, one.torn or one.recipients.torn
        except Corrupt:
            name = self._state.name(KINDS[one.channel], one.number)
            self._say(logline.warning(b"unknown record type in " + name + b"!"))
        except OSError:
            self._cannot_read(one)
        one.recipients.close()
        one.recipients = None
        self._reading[one.channel] = None
        self._end_if_over(one)
        return None

    def _cannot_read(self, one: Pass) -> None:
        name = self._state.name(KINDS[one.channel], one.number)
        self._say(logline.warning(b"trouble reading " + name + b"; will try again later"))

    # ---- what ended

    def ended(self, one: Pass, position: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """A delivery of this pass ended."""
        self.endings.ended(one, position, recipient, outcome, report)

    def _leave(self, one: Pass) -> None:
        one.running -= 1
        self._end_if_over(one)

    def _end_if_over(self, one: Pass) -> None:
        if self._reading[one.channel] is one or one.number in self._begun[one.channel]:
            return
        if not one.waiting:
            if not one.running:
                self._over.append(one)
        elif one.deferred:
            # Whoever still waits for a turn does not keep the others from their next one.
            one.again, one.deferred = one.deferred, None
            self._begun[one.channel][one.number] = one
            self.due[one.channel].add(one.number, one.retry_at)

    def settle(self, now: int) -> None:
        """Record the failures of this round, and end the passes that are over."""
        self.endings.settle(now)
        over, self._over = self._over, []
        for one in over:
            self._close(one, now)

    def _close(self, one: Pass, now: int) -> None:
        if one.left or not one.read:
            self.due[one.channel].add(one.number, one.retry_at)
            return
        kind = KINDS[one.channel]
        try:
            if one.torn:
                self._state.set_aside(kind, one.number)
                name = self._state.name(kind, one.number)
                self._say(logline.warning(b"unfinished record in " + name + b", which is kept in bad/"))
            else:
                self._state.remove(kind, one.number)
        except Trouble as trouble:
            self._say(logline.warning(trouble.text + b"; will try again later"))
            self.due[one.channel].add(one.number, now + retry.AFTER_TROUBLE)
            return
        self.endings.forget(one.channel, one.number)
        try:
            if self._state.has(KINDS[1 - one.channel], one.number):
                return
        except OSError:
            other = self._state.name(KINDS[1 - one.channel], one.number)
            self._say(logline.warning(b"unable to stat " + other))
        self.finished.add(one.number, now)

    def run_all(self, now: int) -> None:
        """Everything is due now."""
        self.earlier.run_all()
        for channel in CHANNELS:
            self.due[channel].no_later_than(now)
        self.finished.no_later_than(now)

    def clock_was_set_back(self, now: int) -> None:
        """Nothing waits longer than it can since an attempt made now."""
        latest = now + retry.longest_wait(self._lifetime)
        for schedule in (*self.due, self.finished):
            schedule.no_later_than(latest)
        self.earlier.clock_was_set_back(now)

    def postpone_all(self) -> None:
        """Remember every time over a restart."""
        for channel in CHANNELS:
            for when, number in self.due[channel]:
                if number not in self._begun[channel]:
                    try:
                        self._state.postpone(channel, number, when)
                    except Trouble as trouble:
                        self._say(logline.warning(trouble.text))
