"""What the control files say of mail to other hosts (qmail-remote(8)), and how a delivery ends before it began."""

from __future__ import annotations

import os

from qmail.formats.verdict import Ending
from qmail.rules import hosttable, qmtproutes, smtpcredentials, smtproutes, sourceaddresses, tlspolicy
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.rules.smtpcredentials import Credentials
    from qmail.rules.smtproutes import Route
    from qmail.stores.home import Home

LONGEST_TIMEOUT = 1_000_000  # seconds
REMEMBERED = 100  # routes
NO_HOME = b"ZUnable to switch to home directory. (#4.3.0)\n"
CREDENTIALS = b"smtpcredentials"
OTHERS = 0o077  # nobody else may read them
OPEN = b"ZOthers may read control/smtpcredentials, so nothing goes to a relay. (#4.3.5)\n"
NO_CONTROL = b"ZUnable to read control files. (#4.3.0)\n"


class Failure(Exception):
    """The delivery ends with this record, `D...` or `Z...`, before any server took it.

    `demanded`: who demands the TLS that it ends for the lack of (rules.tlsneeds), or nothing.
    """

    def __init__(self, record: bytes, demanded: bytes = b"") -> None:
        super().__init__(record)
        self.record, self.demanded = record, demanded


class Settings:
    """What the control files say. Raises Failure."""

    FILES = (
        b"me", b"helohost", b"smtproutes", b"timeoutconnect", b"timeoutremote", b"tlspolicy", b"outgoingip",
        b"sourceaddresses", CREDENTIALS, b"qmtproutes",
    )  # fmt: skip

    def __init__(self, where: Home) -> None:
        if not os.path.isdir(where.path):
            raise Failure(NO_HOME)
        control = Control(where.path)
        try:
            self.timeout = min(control.number(b"timeoutremote", 1200), LONGEST_TIMEOUT)
            self.timeout_connect = min(control.number(b"timeoutconnect", 60), LONGEST_TIMEOUT)
            hello = control.line_or_me(b"helohost")
            self.routes = hosttable.table(control.lines(b"smtproutes") or ())
            self.qmtp_routes = hosttable.table(control.lines(b"qmtproutes") or ())
            self.sources = sourceaddresses.table(
                control.lines(b"outgoingip") or (), control.lines(b"sourceaddresses") or ()
            )
            self.policies = tlspolicy.table(control.lines(b"tlspolicy") or ())
            self._control = control
        except Ending:
            raise Failure(NO_CONTROL) from None
        if hello is None:
            raise Failure(NO_CONTROL)
        self.hello = hello
        self._routes: dict[bytes, Route] = {}  # of the last hosts
        self._credentials: Credentials | None = None  # not read yet

    def route(self, host: bytes) -> Route:
        """Where mail for `host` goes."""
        found = self._routes.get(host)
        if found is None:
            if len(self._routes) >= REMEMBERED:
                self._routes.clear()
            found = qmtproutes.route(self.qmtp_routes, host) or smtproutes.route(self.routes, host)
            found.sources = sourceaddresses.sources(self.sources, host)
            self._routes[host] = found
        return found

    def credentials(self, route: Route) -> tuple[bytes, bytes] | None:
        """User and password for a relay; None where nobody logs in, as by QMTP, which has no words for it."""
        if not route.relay or route.qmtp:
            return None
        if self._credentials is None:
            try:
                lines = self._control.lines(CREDENTIALS)
                if lines is not None and os.stat(self._control.directory + b"/" + CREDENTIALS).st_mode & OTHERS:
                    raise Failure(OPEN)
            except (Ending, OSError):
                raise Failure(NO_CONTROL) from None
            self._credentials = smtpcredentials.table(lines or ())
        return self._credentials.get(route.host.lower())
