"""How much each user who has logged in may send within an hour: control/userlimits (qmail-smtpd(8)).

    user:MESSAGES:RECIPIENTS        :MESSAGES:RECIPIENTS for all who have no line

An empty number is no limit. A user's hour begins with a message, and the next one with the first message after it.
What is counted is bounded: of too many users the one whose hour is oldest is forgotten.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Limits = Mapping[bytes, "tuple[int | None, int | None]"]

HOUR = 3600.0  # seconds
MOST = 20_000  # users
LARGEST = 10**9  # messages or recipients


class Wrong(ValueError):
    """A line that sets no limit. `line`: which."""

    def __init__(self, line: bytes) -> None:
        super().__init__(line)
        self.line = line


def table(lines: Iterable[bytes]) -> dict[bytes, tuple[int | None, int | None]]:
    """The most messages and recipients of each user, in lower case; b"" is everybody else. Raises Wrong."""
    found: dict[bytes, tuple[int | None, int | None]] = {}
    for line in lines:
        parts = line.rsplit(b":", 2)
        if len(parts) != 3:
            raise Wrong(line)
        try:
            messages, recipients = (_number(part.strip()) for part in parts[1:])
        except ValueError:
            raise Wrong(line) from None
        found.setdefault(parts[0].strip().lower(), (messages, recipients))
    return found


def _number(text: bytes) -> int | None:
    if not text:
        return None
    if not text.isdigit() or len(text) > 10 or int(text) > LARGEST:
        raise ValueError
    return int(text)


class Refused:
    """It was not counted. `seconds`: until it may be tried again; None: with so many recipients, never."""

    __slots__ = ("most", "seconds")

    def __init__(self, most: int, seconds: int | None) -> None:
        self.most, self.seconds = most, seconds


class Spending:
    """What each user has sent in its hour, in seconds of one clock that only goes forward."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._spent: dict[bytes, tuple[float, int, int]] = {}  # when the hour began, messages, recipients; oldest first

    def spend(self, limits: Limits, user: bytes, recipients: int, now: float) -> Refused | None:
        """Count one message to so many recipients. None: it may go."""
        user = user.lower()
        most = limits.get(user) or limits.get(b"")
        if most is None:
            return None
        if most[1] is not None and recipients > most[1]:
            return Refused(most[1], None)
        began, messages, sent = self._spent.get(user, (now, 0, 0))
        if now - began >= HOUR:
            began, messages, sent = now, 0, 0
        for limit, count in ((most[0], messages + 1), (most[1], sent + recipients)):
            if limit is not None and count > limit:
                return Refused(limit, int(began + HOUR - now) + 1)
        if not messages:
            self._spent.pop(user, None)  # the latest hours stand last
        self._spent[user] = began, messages + 1, sent + recipients
        if len(self._spent) > self._most:
            del self._spent[next(iter(self._spent))]
        return None
