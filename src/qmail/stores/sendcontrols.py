"""The control files of qmail-send (qmail-send(8)), read at its start.

HUP reads locals, virtualdomains, destinations and smtproutes anew.
"""

from __future__ import annotations

from qmail.formats.verdict import Temporary
from qmail.rules import destination, hosttable
from qmail.rules.routing import Routes
from qmail.stores import bouncers
from qmail.stores.control import Control

FILES = (b"me", b"locals", b"percenthack", b"virtualdomains", b"envnoathost")  # those that decide on routes
LIFETIME = 604_800  # seconds
CONCURRENCY = (10, 20)  # local, remote


class SendControls:
    """What the files say. Raises Temporary where one that is needed is missing, or one cannot be read."""

    def __init__(self, home: bytes) -> None:
        self._control = control = Control(home)
        self._me = control.line(b"me")
        self.lifetime = control.number(b"queuelifetime", LIFETIME)
        self.concurrency = (
            control.number(b"concurrencylocal", CONCURRENCY[0]),
            control.number(b"concurrencyremote", CONCURRENCY[1]),
        )
        self._nohost = bouncers.line_or_me(control, b"envnoathost")
        self.names = bouncers.names(control)
        self._percent = control.lines(b"percenthack") or []
        locals_ = self._locals()
        if locals_ is None:
            raise Temporary(b"neither control/me nor control/locals is there")
        self.routes = Routes(self._nohost, locals_, self._percent, self._virtualdomains())
        self.limits = self._limits()
        self.relays = self._relays()

    def reread(self) -> bytes | None:
        """Read again what may change. Returns the name of one that cannot be read; then nothing changes."""
        name = b"locals"
        try:
            locals_ = self._locals()
            if locals_ is None:
                return name
            name = b"virtualdomains"
            virtual = self._virtualdomains()
            name = b"destinations"
            self.limits = self._limits()
            self.relays = self._relays()
            self.routes = Routes(self._nohost, locals_, self._percent, virtual)
        except Temporary:
            return name
        return None

    def _locals(self) -> list[bytes] | None:
        """By default control/me, as it was at the start."""
        lines = self._control.lines(b"locals")
        return [self._me] if lines is None and self._me is not None else lines

    def _virtualdomains(self) -> list[bytes]:
        return self._control.lines(b"virtualdomains") or []

    def _limits(self) -> dict[bytes, destination.Limit]:
        return destination.table(self._control.lines(b"destinations") or [])

    def _relays(self) -> dict[bytes, bytes]:
        """smtproutes is qmail-remote's, which alone must be able to read it; here it tells what is one destination."""
        try:
            return hosttable.table(self._control.lines(b"smtproutes") or [])
        except Temporary:
            return {}
