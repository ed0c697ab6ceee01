"""What wants to be delivered, as the one who gives out deliveries sees it. For type checkers: nothing loads this."""

from __future__ import annotations

from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.mailparameters import Parameters


class Job(Protocol):
    """Whatever wants recipients delivered to: a fresh message, or a pass over a queued one."""

    @property
    def number(self) -> int:
        """The message."""

    @property
    def sender(self) -> bytes:
        """Its envelope sender."""

    @property
    def parameters(self) -> Parameters | None:
        """What the sender asked for besides."""

    @property
    def last_try(self) -> bool:
        """Is a deferral now a failure?"""

    def ended(self, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """A delivery ended: DONE, DEFERRED or FAILED. Behind NUL the report of one that is DONE may say PASSED_ON."""
