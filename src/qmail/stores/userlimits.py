"""control/userlimits, read again when it has changed, and what has been sent against it."""

from __future__ import annotations

from qmail.formats.verdict import Temporary
from qmail.rules.userlimits import Refused, Spending, Wrong, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.rules.userlimits import Limits
    from qmail.stores.control import Control, Stamp

NAME = b"userlimits"


class UserLimits:
    """For one process, which sees all who send."""

    def __init__(self, control: Control) -> None:
        self._control, self._spending = control, Spending()
        self._stamp: list[Stamp] | None = None
        self._limits: Limits = {}

    def spend(self, user: bytes, recipients: int, now: float) -> Refused | None:
        """Count one message, as Spending does. Raises Temporary where the file cannot be read or understood."""
        stamp = self._control.stamps([NAME])
        if stamp != self._stamp:
            self._stamp = None
            try:
                self._limits = table(self._control.lines(NAME) or ())
            except Wrong as wrong:
                raise Temporary(b"control/userlimits has a line that sets no limit: " + wrong.line) from wrong
            self._stamp = stamp
        return self._spending.spend(self._limits, user, recipients, now)
