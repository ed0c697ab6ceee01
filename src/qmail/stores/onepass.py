"""One attempt at the recipients of one channel of a queued message, as `stores.passes` makes it."""

from __future__ import annotations

from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from qmail.formats.mailparameters import Parameters
    from qmail.stores.deliverystate import DeliveryState
    from qmail.stores.recipientfile import Recipients

    class Passes(Protocol):
        """All passes."""

        def ended(self, one: Pass, position: int, recipient: bytes, outcome: int, report: bytes) -> None:
            """A delivery of this pass ended."""

        def waiting_recipient(self, one: Pass, position: int) -> bytes | None:
            """One that waits at its destination; None where it cannot be read."""

        def begin_waiting(self, one: Pass, now: int) -> None:
            """One that waited at its destination is delivered to."""


class Pass:
    """The attempt, a job and one that waits (`rules.destination`). A recipient's key is its place in the file."""

    __slots__ = (
        "_passes", "again", "birth", "channel", "deferred", "last_try", "late", "left", "number", "parameters", "read",
        "recipients", "retry_at", "running", "sender", "skip", "torn", "waiting",
    )  # fmt: skip
    waits = True

    def __init__(
        self, passes: Passes, channel: int, number: int, sender: bytes, birth: int, parameters: Parameters | None
    ) -> None:
        self._passes = passes
        self.channel, self.number, self.sender, self.birth = channel, number, sender, birth
        self.parameters = parameters
        self.retry_at = 0
        self.last_try = False
        self.late = False  # is its sender to hear of a deferral?
        self.recipients: Recipients | Again | None = None
        self.skip: frozenset[int] = frozenset()  # positions that the first attempt has dealt with
        self.read = self.torn = False
        self.left = 0  # recipients seen and not done
        self.running = 0
        self.waiting = 0  # recipients at destinations
        self.deferred: array[int] | None = None  # positions, where others still wait
        self.again: array[int] | None = None  # those whose next attempt does not wait for them

    def ended(self, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """A delivery of this pass ended."""
        self._passes.ended(self, key, recipient, outcome, report)

    def recipient(self, key: int) -> bytes | None:
        """One that waits."""
        return self._passes.waiting_recipient(self, key)

    def begin(self, key: int, now: float, wall: int) -> None:
        """One that waited is delivered to."""
        self._passes.begin_waiting(self, wall)

    def put_off(self, positions: Iterable[int]) -> None:
        """These were deferred."""
        if self.deferred is None:
            self.deferred = array("Q")
        self.deferred.extend(positions)

    def begin_again(self, again: array[int]) -> None:
        """Those that were deferred are read once more, although the pass is not over."""
        self.left -= len(again)
        self.again = None
        self.read, self.skip = False, frozenset()


class Again:
    """A reader of some recipients of a file, as `Recipients` is of all that are left."""

    torn = False

    def __init__(self, state: DeliveryState, channel: int, number: int, positions: array[int]) -> None:
        self._state, self._channel, self._number = state, channel, number
        self._positions = iter(positions)

    def next(self) -> tuple[int, bytes] | None:
        """(position, recipient), None at the end. Raises OSError, and Corrupt."""
        for position in self._positions:
            return position, self._state.recipient(self._channel, self._number, position)
        return None

    def close(self) -> None:
        """No more is read."""
