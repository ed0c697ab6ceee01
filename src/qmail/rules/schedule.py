"""Which messages are due: a heap of (time, message number), compact enough for hundreds of thousands."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# One integer an entry: the time in the high bits, so that integers compare as their times do.
_SHIFT = 64
_NUMBER = (1 << _SHIFT) - 1


class Schedule:
    """Message numbers by the second at which they are due. The caller sees to it that each is in once."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[int] = []

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """All (time, number), in no particular order."""
        for entry in self._heap:
            yield entry >> _SHIFT, entry & _NUMBER

    def add(self, number: int, when: int) -> None:
        """The message is due at `when`."""
        heappush(self._heap, max(when, 0) << _SHIFT | number)

    def first(self) -> int | None:
        """When the next message is due, or None."""
        return self._heap[0] >> _SHIFT if self._heap else None

    def take(self, now: int) -> int | None:
        """Take out the number that has been due longest, or None where none is due."""
        if self._heap and self._heap[0] >> _SHIFT <= now:
            return heappop(self._heap) & _NUMBER
        return None

    def no_later_than(self, latest: int) -> None:
        """Pull in whatever is due later than `latest`."""
        bound = max(latest, 0)
        self._heap = [min(entry >> _SHIFT, bound) << _SHIFT | entry & _NUMBER for entry in self._heap]
        heapify(self._heap)
