"""What a service is to become after the letters of svc were sent, and whether it has (svc -w)."""

from __future__ import annotations

from qmail.formats.svstatus import UP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.svstatus import Status

GONE = b"x"
RUNNING = b"u"
STOPPED = b"d"


class Goal:
    """The state that `letters` ask for, given the status before they were sent (None: nobody knew)."""

    __slots__ = ("before", "changes", "state")

    def __init__(self, letters: bytes, before: Status | None) -> None:
        ends = any(letter in letters for letter in b"dtk")
        self.before = before
        # A program that runs and is told to end must be seen to have ended: the old status proves nothing.
        self.changes = ends and before is not None and before.pid != 0
        self.state = b""
        if b"x" in letters:
            self.state = GONE
        elif place := max(letters.rfind(letter) for letter in (b"u", b"o", b"d")) + 1:
            self.state = STOPPED if letters[place - 1 : place] == b"d" else RUNNING
        elif self.changes:
            self.state = RUNNING if before is not None and before.wanted == UP else STOPPED

    def reached(self, now: Status | None, supervised: bool) -> bool:
        """Is the service there? `now` is its status, `supervised` whether its supervise runs."""
        if not self.state:
            return True
        if self.state == GONE:
            return not supervised
        if now is None or not supervised:
            return False
        if self.changes and self.before is not None and now.since == self.before.since:
            return False
        return bool(now.pid) == (self.state == RUNNING)
