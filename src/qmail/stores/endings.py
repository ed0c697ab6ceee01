"""What deliveries of queued messages come to: marks, failures that are written down, and notices.

A recipient is marked as done only when nothing is lost by it: a failure stands in bounce/N, durably; a success that
the sender wants to hear of (RFC 3461) is in a notice that the queue has taken. Successes gather for a second, or until
there are 64. Of a delay he is told once, at the attempt that follows four hours after the message came.
"""

from __future__ import annotations

from functools import partial

from qmail.formats import bounce, deliverystatus, logline
from qmail.formats.bounce import paragraph
from qmail.rules import retry
from qmail.rules.outcome import DEFERRED, DONE, FAILED
from qmail.rules.routing import LOCAL
from qmail.stores.deliverystate import Trouble
from qmail.stores.notice import Notice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qmail.formats.deliverystatus import Fate
    from qmail.stores.deliverystate import DeliveryState
    from qmail.stores.onepass import Pass

    Then = Callable[[int | None], None]

MOST_SUCCESSES = 64  # of one notice
GATHER = 1  # seconds
NOT_TAKEN = b"trouble injecting notice about msg %d"


class _Successes:
    """Deliveries of one pass that its sender is to hear of. `due`: when."""

    __slots__ = ("due", "fates", "one", "positions")

    def __init__(self, one: Pass, due: int) -> None:
        self.one, self.due = one, due
        self.positions: list[int] = []
        self.fates: list[Fate] = []


class Endings:
    """All of them. `leave`: a recipient of a pass is dealt with; `say` takes log lines."""

    def __init__(
        self,
        state: DeliveryState,
        shown: Callable[[bytes], bytes],
        leave: Callable[[Pass], None],
        say: Callable[[bytes], None],
    ) -> None:
        self._state, self._shown, self._leave, self._say = state, shown, leave, say
        self.now = 0  # of the last round
        self._failed: dict[int, list[tuple[Pass, int, bytes]]] = {}
        self._succeeded: dict[Pass, _Successes] = {}
        self._retold: list[_Successes] = []  # those that were not taken
        self._late: dict[int, tuple[Pass, list[bytes]]] = {}
        self._told: set[int] = set()  # messages whose delay was told
        self._unmarked: dict[tuple[int, int], set[int]] = {}  # done, by channel and number, and the disk took no mark

    def ended(self, one: Pass, position: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """A delivery of this pass ended."""
        asked = one.parameters
        if outcome == FAILED:
            # The sender's copy first, durably, and only then the mark: both at the end of the round.
            text = paragraph(self._shown(recipient), report) if asked is None or asked.of(recipient).failure else b""
            self._failed.setdefault(one.number, []).append((one, position, text))
            return
        if asked is not None and one.sender not in bounce.NOBODY:
            wish = asked.of(recipient)
            if outcome == DONE and wish.success:
                fate = deliverystatus.success(self._shown(recipient), report, local=one.channel == LOCAL)
                if fate is not None:
                    self._succeed(one, position, fate)
                    return
            elif outcome == DEFERRED and wish.delay and one.late and one.number not in self._told:
                texts = self._late.setdefault(one.number, (one, []))[1]
                texts.append(paragraph(self._shown(recipient), report))
        if outcome == DONE:
            self.mark(one, position)
        else:
            one.put_off((position,))
        self._leave(one)

    def _succeed(self, one: Pass, position: int, fate: Fate) -> None:
        successes = self._succeeded.get(one)
        if successes is None:
            successes = self._succeeded[one] = _Successes(one, self.now + GATHER)
        successes.positions.append(position)
        successes.fates.append(fate)
        if len(successes.fates) >= MOST_SUCCESSES:
            successes.due = self.now

    def mark(self, one: Pass, position: int) -> None:
        """This recipient is done."""
        try:
            self._state.mark(one.channel, one.number, position)
        except Trouble as trouble:
            self._say(logline.warning(trouble.text))
            # Only a restart forgets it.
            self._unmarked.setdefault((one.channel, one.number), set()).add(position)
        one.left -= 1

    def is_done(self, one: Pass, position: int) -> bool:
        """Has this recipient got it, although the file does not say so? The mark is made now, if it can be."""
        if position not in self._unmarked.get((one.channel, one.number), ()):
            return False
        try:
            self._state.mark(one.channel, one.number, position)
        except Trouble:
            pass  # said before
        return True

    def forget(self, channel: int, number: int) -> None:
        """This channel of the message is done."""
        self._unmarked.pop((channel, number), None)
        self._told.discard(number)

    def settle(self, now: int) -> None:
        """Record the failures of this round."""
        self.now = now
        failed, self._failed = self._failed, {}
        for number, failures in failed.items():
            texts = b"".join(text for _, _, text in failures)
            try:
                if texts:
                    self._state.record_failures(number, texts)
            except Trouble as trouble:
                # Not marked: they will be tried, and fail, again.
                self._say(logline.alert(trouble.text))
                failures = [(one, -1, text) for one, _, text in failures]
            for one, position, _ in failures:
                if position >= 0:
                    self.mark(one, position)
                self._leave(one)

    # ---- notices

    def notices(self, now: int, *, hurry: bool) -> Iterator[tuple[Notice, Then]]:
        """What is to be told now, and who wants to know whether it was taken. `hurry`: do not let more gather."""
        late, self._late = self._late, {}
        for number, (one, texts) in late.items():
            self._told.add(number)
            yield self._notice(one, bounce.DELAY, text=b"".join(texts)), partial(self._delay_taken, number)
        for successes in [each for each in self._succeeded.values() if hurry or each.due <= now]:
            del self._succeeded[successes.one]
            yield self._told_of(successes)
        again, self._retold = self._retold, []
        for successes in again:
            if successes.due <= now:
                yield self._told_of(successes)
            else:
                self._retold.append(successes)

    def next_time(self) -> int | None:
        """When there is something to be told."""
        return min((each.due for each in (*self._succeeded.values(), *self._retold)), default=None)

    def _told_of(self, successes: _Successes) -> tuple[Notice, Then]:
        notice = self._notice(successes.one, bounce.SUCCESS, fates=successes.fates)
        return notice, partial(self._taken, successes)

    def _taken(self, successes: _Successes, qp: int | None) -> None:
        one = successes.one
        if qp is None:
            self._say(logline.warning(NOT_TAKEN % one.number))
            successes.due = self.now + retry.AFTER_TROUBLE
            self._retold.append(successes)
            return
        self._say(logline.notice(one.number, qp))
        for position in successes.positions:
            self.mark(one, position)
            self._leave(one)

    def _delay_taken(self, number: int, qp: int | None) -> None:
        self._say(logline.warning(NOT_TAKEN % number) if qp is None else logline.notice(number, qp))

    @staticmethod
    def _notice(one: Pass, subject: bytes, *, text: bytes | None = None, fates: Sequence[Fate] = ()) -> Notice:
        return Notice(one.number, one.sender, one.parameters, subject=subject, text=text, fates=fates)
