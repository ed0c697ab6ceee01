"""control/callforward: domains of other hosts whose recipients are asked for there, before mail for them is taken."""

from __future__ import annotations

from qmail.rules.relay import Door

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.control import Control, Stamp

FILE = b"callforward"


class CallForward:
    """The file, read again when it has changed."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._stamps: list[Stamp] | None = None
        self._domains: Door | None = None

    def lists(self, address: bytes) -> bool:
        """Is this address, which has an @, at one of these domains? Raises Temporary where the file cannot be read."""
        stamps = self._control.stamps((FILE,))
        if stamps != self._stamps:
            # Stamps first: what changes while it is read is read again.
            self._stamps = None
            lines = self._control.lines(FILE)
            self._domains = Door(lines) if lines else None
            self._stamps = stamps
        return self._domains is not None and self._domains.accepts(address)
