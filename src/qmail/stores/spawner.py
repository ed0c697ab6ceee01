"""qmail-send's end of the pipes to one spawner: orders out, reports in, neither ever waited for."""

from __future__ import annotations

import os

from qmail.protocols import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.protocols.spawn import Order

_READ = 65536


class Lost(Exception):
    """The spawner is gone, or does not speak as one."""


class Spawner:
    """One spawner: qmail-lspawn or qmail-rspawn. `orders`, `reports`: our descriptors."""

    def __init__(self, orders: int, reports: int) -> None:
        self.orders, self.reports = orders, reports
        self.alive = True
        self._reader = spawn.Reports()
        self._unsent = b""

    @property
    def wide(self) -> bool:
        """Does it speak the wide dialect?"""
        return self._reader.wide

    def announced(self) -> int:
        """How many deliveries it takes; waits until it says so. Raises Lost."""
        while self._reader.limit is None:
            try:
                text = os.read(self.reports, 1)
                if not text or self._reader.feed(text):
                    raise Lost
            except (OSError, spawn.Broken) as error:
                raise Lost from error
        for descriptor in (self.orders, self.reports):
            os.set_blocking(descriptor, False)
        return self._reader.limit

    def send(self, orders: list[Order]) -> bool:
        """Send these orders, behind what could not be sent before. False where some could not. Raises Lost."""
        wide = self._reader.wide
        text = self._unsent + b"".join([spawn.order(one, wide) for one in orders])
        try:
            while text:
                text = text[os.write(self.orders, text) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise Lost from error
        self._unsent = text
        return not text

    def receive(self) -> list[tuple[int, bytes]]:
        """The reports that came: (delivery number, text). Raises Lost."""
        try:
            text = os.read(self.reports, _READ)
            if not text:
                raise Lost
            return self._reader.feed(text)
        except BlockingIOError:
            return []
        except (OSError, spawn.Broken) as error:
            raise Lost from error
