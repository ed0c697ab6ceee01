"""How messages that an earlier qmail-send has left come to this one: part by part, while fresh mail goes on.

There may be hundreds of thousands of them, and to look at the times of all takes seconds. A part of the queue is
looked at once; what was queued in it meanwhile is known already.
"""

from __future__ import annotations

from qmail.formats import logline
from qmail.rules.retry import AFTER_TROUBLE
from qmail.rules.routing import CHANNELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qmail.rules.schedule import Schedule
    from qmail.stores.deliverystate import DeliveryState


class EarlierMail:
    """`due` by channel and `finished` get what is found.

    Of the `known` numbers, which are in todo/, and of those that are `held` as fresh mail whatever is found is stale.
    """

    def __init__(
        self,
        state: DeliveryState,
        due: tuple[Schedule, Schedule],
        finished: Schedule,
        known: Iterable[int],
        held: Callable[[int], bool],
        say: Callable[[bytes], None],
    ) -> None:
        self._state, self._due, self._finished, self._held, self._say = state, due, finished, held, say
        self._known = set(known)
        self._parts = list(state.parts())
        self._refused: list[int] = []  # parts that could not be read
        self._not_before = 0
        self._at_once = False

    def queued(self, number: int) -> None:
        """A message was given files of its own now, and is in the schedules already."""
        if self._parts:
            self._known.add(number)

    def run_all(self) -> None:
        """Everything that is still to come is due at once."""
        self._at_once = True
        self._not_before = 0

    def clock_was_set_back(self, now: int) -> None:
        """What could not be read is not waited for longer than from now on."""
        self._not_before = min(self._not_before, now + AFTER_TROUBLE)

    def next_time(self) -> int | None:
        """When the next part is to be looked at."""
        return self._not_before if self._parts else None

    def work(self, now: int, latest: int) -> None:
        """Look at the next part, where it is time to. Nothing is due later than at `latest`."""
        if not self._parts or now < self._not_before:
            return
        part = self._parts.pop()
        try:
            found = list(self._state.queued(part))
        except OSError:
            self._say(logline.alert(b"unable to read part %d of the queue, will try again later" % part))
            self._refused.append(part)
            found = []
        if not self._parts and self._refused:
            self._parts, self._refused = self._refused, []
            self._not_before = now + AFTER_TROUBLE
        for number, times in found:
            if number in self._known or self._held(number):
                continue
            for channel in CHANNELS:
                when = times[channel]
                if when is not None:
                    self._due[channel].add(number, now if self._at_once else min(when, latest))
            if times == (None, None):
                self._finished.add(number, now)
        if not self._parts:
            self._known.clear()
