"""Who may take how much of qmail-queued: connections by user, and turns when more wait than one batch holds."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, TypeVar

    T = TypeVar("T")
else:
    # `typing` would be the largest thing that a process which stays has loaded.
    T = None

    class Generic:
        def __class_getitem__(cls, _of):
            return cls


class Shares:
    """Connections, of which there are `most` in all.

    The users in `favoured` (the network's, the bounces') may have all of them. All others together
    have a quarter, and one of them at most a quarter of that, but `LEAST` in any case.
    """

    LEAST = 8

    def __init__(self, most: int, favoured: frozenset[int]) -> None:
        self._most, self._favoured = most, favoured
        self.others = max(most // 4, self.LEAST)
        self.each = max(self.others // 4, self.LEAST)
        self._held: dict[int, int] = {}
        self._held_by_others = 0
        self._total = 0

    def admit(self, uid: int) -> bool:
        """May this user have one more? If so, it is counted."""
        held = self._held.get(uid, 0)
        favoured = uid in self._favoured
        if self._total >= self._most or (not favoured and (held >= self.each or self._held_by_others >= self.others)):
            return False
        self._held[uid] = held + 1
        self._total += 1
        self._held_by_others += not favoured
        return True

    def give_back(self, uid: int) -> None:
        """This user has one less."""
        held = self._held.pop(uid) - 1
        if held:
            self._held[uid] = held
        self._total -= 1
        self._held_by_others -= uid not in self._favoured


class Turns(Generic[T]):
    """What waits, by user. `take` goes round the users, so that nobody waits for another one's flood."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, uid: int, item: T) -> None:
        """One more waits."""
        if uid not in self._waiting:
            self._waiting[uid] = deque()
        self._waiting[uid].append(item)
        self._count += 1

    def take(self, most: int) -> list[T]:
        """The next ones, at most so many; each user in turn gives one."""
        taken: list[T] = []
        while self._count and len(taken) < most:
            for uid in list(self._waiting):
                queue = self._waiting[uid]
                taken.append(queue.popleft())
                self._count -= 1
                if not queue:
                    del self._waiting[uid]
                if len(taken) == most:
                    # Whoever had a turn goes behind the others.
                    self._waiting.update({uid: self._waiting.pop(uid)} if uid in self._waiting else {})
                    break
        return taken
