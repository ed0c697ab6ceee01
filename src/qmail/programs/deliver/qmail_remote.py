"""qmail-remote: one message to one host, by SMTP.

Usage: qmail-remote HOST SENDER RECIPIENT...

    $ qmail-remote example.com me@example.org you@example.com < message
    r
    K192.0.2.1 accepted message.

The message is read from descriptor 0. HOST is a name, whose mail exchangers are
asked for, or an address in brackets; control/smtproutes may send it elsewhere.
qmail-rspawn runs it for each delivery, or does the same in a warm process.

Behaviour:
The result is written to descriptor 1, records that each end with NUL: for each
recipient that the server answered for, in order, r (accepted), h TEXT (refused
for good) or s TEXT (refused for now); then one for the message: K TEXT
(accepted), D TEXT (failed for good), Z TEXT (try again later).

Exchangers are tried by preference, equal ones in a chance order, IPv6 and IPv4;
an address that is silent for a second is overtaken by the next one of the same
host. Addresses that lately timed out (queue/lock/tcpto) are left alone for
about an hour. This host's own addresses are never connected to, unless a route
says so. A reply may have 256 KiB, and timeoutremote seconds for all of it.
After a connection that is lost behind the final dot, the message may arrive
twice, and the report says so.

A warm process greets with EHLO, pipelines, and takes TLS where it is offered;
control/tlspolicy says to whom mail must not go without it. Run as a program,
qmail-remote says HELO, as it always has.

Environment: DNSCACHEIP names servers to ask instead of qmail-dns.
Files: control/: me, helohost, smtproutes, timeoutconnect, timeoutremote,
tlspolicy, tlstrust.pem; queue/lock/tcpto.
Runs as: qmailr.
Faces: the servers of other hosts.
Exit codes: 0 always.
"""

from __future__ import annotations

import os

from qmail.formats import address
from qmail.formats.verdict import Ending
from qmail.host import connect, fds, interfaces
from qmail.rules import mx, smtproutes, tlspolicy
from qmail.stores import home, names
from qmail.stores.control import Control
from qmail.stores.smtpsession import Session
from qmail.stores.tcpto import Timeouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qmail.rules.mx import Exchanger
    from qmail.stores.control import Stamp
    from qmail.stores.home import Home

LONGEST_TIMEOUT = 1_000_000  # seconds
REMEMBERED = 100  # routes
LARGE = 262144  # bytes; such a message may take its time
LOOKED = 1.0  # seconds between looks at the control files, where this process lives on


class Failure(Exception):
    """The delivery ends with this record, `D...` or `Z...`, before any server was asked."""

    def __init__(self, record: bytes) -> None:
        super().__init__(record)
        self.record = record


USAGE = b"DI (qmail-remote) was invoked improperly. (#5.3.5)\n"
NO_HOME = b"ZUnable to switch to home directory. (#4.3.0)\n"
NO_CONTROL = b"ZUnable to read control files. (#4.3.0)\n"
NO_SYSTEM = b"ZSystem resources temporarily unavailable. (#4.3.0)\n"
NO_ANSWER = b"ZSorry, I couldn't find any host by that name. (#4.1.2)\n"
NO_CONNECTION = b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n"
NO_HOST = b"DSorry, I couldn't find any host named %b. (#5.1.2)\n"
NO_EXCHANGER = b"DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n"
NULL_EXCHANGER = b"DSorry, %b says that it takes no mail. (#5.1.10)\n"
OURSELVES = (
    b"DSorry. Although I'm listed as a best-preference MX or A for that host,\n"
    b"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n"
)
BROKEN_ADDRESS = (
    b"DSorry, SMTP has no words for an address with a line break, or with a blank or such in its host. (#5.1.3)\n"
)


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 4:
        report = USAGE + b"\0"
    else:
        remote = Remote(home.find(argv[0], environ), environ, extended=False)
        report = remote.deliver(argv[1], argv[2], argv[3:], 0, None)
        remote.leave()
    fds.write_all(1, report)
    return 0


class Settings:
    """What the control files say. Raises Failure."""

    FILES = (b"me", b"helohost", b"smtproutes", b"timeoutconnect", b"timeoutremote", b"tlspolicy")

    def __init__(self, where: Home) -> None:
        if not os.path.isdir(where.path):
            raise Failure(NO_HOME)
        control = Control(where.path)
        try:
            self.timeout = min(control.number(b"timeoutremote", 1200), LONGEST_TIMEOUT)
            self.timeout_connect = min(control.number(b"timeoutconnect", 60), LONGEST_TIMEOUT)
            hello = control.line_or_me(b"helohost")
            self.routes = smtproutes.table(control.lines(b"smtproutes") or ())
            self.policies = tlspolicy.table(control.lines(b"tlspolicy") or ())
        except Ending:
            raise Failure(NO_CONTROL) from None
        if hello is None:
            raise Failure(NO_CONTROL)
        self.hello = hello
        self._routes: dict[bytes, smtproutes.Route] = {}  # of the last hosts

    def route(self, host: bytes) -> smtproutes.Route:
        """Where mail for `host` goes."""
        found = self._routes.get(host)
        if found is None:
            if len(self._routes) >= REMEMBERED:
                self._routes.clear()
            found = self._routes[host] = smtproutes.route(self.routes, host)
        return found


class Remote:
    """Delivers one message after the other, and keeps the connection to the last server that took one.

    `extended`: greet with EHLO, and use what the server announces.
    """

    def __init__(self, where: Home, environ: Mapping[bytes, bytes], *, extended: bool) -> None:
        self._home, self._extended = where, extended
        # A program of its own asks the servers that its environment names; a worker's is that of qmail-dns too.
        self._names = names.Names(where, environ, alone=not extended and b"DNSCACHEIP" in environ)
        self._timeouts = Timeouts(where)
        self._settings: Settings | None = None
        self._kept: tuple[smtproutes.Route, Session] | None = None
        self._looked = 0.0
        self._stamps: list[Stamp] = []

    def deliver(
        self,
        host: bytes,
        sender: bytes,
        recipients: Sequence[bytes],
        message: int,
        size: int | None,
        slow: Callable[[], None] | None = None,
    ) -> bytes:
        """Send the message on descriptor `message`, a file of `size` bytes, or (None) whatever can be read.

        `slow` is called where that may take more than a moment. Returns the whole report.
        """
        try:
            if self._settings is None:
                self._settings = Settings(self._home)
            sender, *recipients = _written(sender, *recipients)
            route = self._settings.route(host)
            policy = tlspolicy.policy(self._settings.policies, host) if self._extended else tlspolicy.NONE
            session = self._kept_for(route, policy)
            if slow and (session is None or (size or 0) > LARGE):
                slow()
            if session is not None:
                if slow:
                    session.tell_when_slow(slow)
                session.transact(sender, recipients, message, size)
            if session is None or session.again:
                self.leave()
                session = self._connected(self._settings, route, policy)
                session.transact(sender, recipients, message, size)
            if session.again:
                # TLS was offered, and could not be had.
                session.close()
                session = self._connected(self._settings, route, tlspolicy.NONE)
                session.transact(sender, recipients, message, size)
        except Failure as failure:
            return failure.record + b"\0"
        except OSError:
            return NO_SYSTEM + b"\0"
        self._kept = (route, session)
        return session.report

    @property
    def connection(self) -> int | None:
        """The descriptor of the connection that is kept; whatever comes there before the next message ends it."""
        return self._kept[1].fileno() if self._kept and self._kept[1].reusable else None

    def leave(self) -> None:
        """Take leave of the server, and of qmail-dns."""
        self._names.close()
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    def refresh(self, now: float) -> None:
        """Look whether the control files have changed, at most once a second of the monotonic clock `now`."""
        if now < self._looked + LOOKED:
            return
        self._looked = now
        stamps = Control(self._home.path).stamps(Settings.FILES)
        if stamps != self._stamps:
            # Stamps first: what changes while it is read is read again.
            self._stamps, self._settings = stamps, None
            self.leave()

    def _kept_for(self, route: smtproutes.Route, policy: int) -> Session | None:
        if self._kept is None:
            return None
        before, session = self._kept
        return session if session.reusable and before.key == route.key and session.satisfies(policy) else None

    def _connected(self, settings: Settings, route: smtproutes.Route, policy: int) -> Session:
        """A session with the best server that answers. Raises Failure or OSError."""
        for exchanger in self._exchangers(route):
            addresses = [each for each in exchanger.addresses if not self._timeouts.is_shunned(each)]
            wanted = mx.interleaved(addresses)
            attempt = connect.connect(wanted, route.port, settings.timeout_connect, settings.timeout)
            for silent in attempt.silent:
                self._timeouts.timed_out(silent)
            if attempt.connection is not None:
                self._timeouts.connected(attempt.address)
                partner = connect.text(attempt.address)
                return Session(
                    attempt.connection, partner, settings.hello, settings.timeout,
                    extended=self._extended, policy=policy, name=exchanger.name.strip(b"[]").rstrip(b"."),
                    trusted=self._home.file(b"control/tlstrust.pem"),
                )  # fmt: skip
        raise Failure(NO_CONNECTION)

    def _exchangers(self, route: smtproutes.Route) -> list[Exchanger]:
        """Who to connect to, best first. Raises Failure."""
        try:
            if route.relay:
                return [mx.Exchanger(0, route.host, self._names.addresses(route.host))]
            found = self._names.exchangers(route.host)
        except names.Unanswered:
            raise Failure(NO_ANSWER) from None
        except names.Unknown:
            raise Failure(NO_HOST % _shown(route.host)) from None
        except names.Refusing:
            raise Failure(NULL_EXCHANGER % _shown(route.host)) from None
        if not found:
            raise Failure(NO_EXCHANGER)
        own = interfaces.addresses()
        better = mx.before_ourselves(found, lambda each: interfaces.leads_here(each, own))
        if not better:
            raise Failure(OURSELVES)
        return better


def _written(*addresses: bytes) -> list[bytes]:
    """Addresses as they stand between the brackets of MAIL and RCPT. Raises Failure."""
    written = [each for each in map(address.mailbox, addresses) if each is not None]
    if len(written) < len(addresses):
        raise Failure(BROKEN_ADDRESS)
    return written


def _shown(host: bytes) -> bytes:
    return bytes(byte if 33 <= byte <= 126 else 63 for byte in host)
