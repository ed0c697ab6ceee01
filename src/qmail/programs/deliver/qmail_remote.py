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

A warm process greets with EHLO, pipelines, and takes TLS where it is offered.
Run as a program, qmail-remote says HELO, as it always has, but for mail that
must go by TLS since control/tlspolicy says so.

Where DNSSEC vouches for an exchanger, its addresses and its TLSA records
(DANE, RFC 7672), mail goes to it only by TLS and with a certificate that these
records tell: its own (usage 3), or one that has signed it (usage 2). Records
of other usages tell nothing; where there is nothing else, TLS is a must, and
any certificate will do. Where the records cannot be looked up, or what is said
of them is bogus, nothing goes to that exchanger. This needs a validating name
server: see qmail-dns(8). control/tlspolicy says more, or less, for a domain.

Where the domain has a policy of its own (MTA-STS, RFC 8461; see qmail-stsd(8))
whose mode is `enforce`, mail goes only to exchangers that it names, by TLS and
with a certificate for the exchanger's name that this system, or tlstrust.pem,
vouches for. At `testing` the same is tried first. Where an exchanger has TLSA
records, these count instead. In control/tlspolicy, `may` and `none` switch both
off, and `dane` the policy; so does a route in control/smtproutes.
qmail-tlsrptd is told how each session with an exchanger went.

Where control/smtpcredentials has a line for the relay that a route names,
qmail-remote logs in there (AUTH, RFC 4954), by SCRAM-SHA-256, PLAIN or LOGIN, the
first of these that is offered; with SCRAM the relay must prove that it knows the
password, too. That is done under TLS only, with a certificate for the relay's name
that is vouched for, whatever control/tlspolicy says of the domain; a line there
for the relay's own name may say `encrypt`. Who is not let in waits (#4.7.8), also
at a 535: a wrong password is no fault of the mail. The file must be readable to
qmailr alone: mode 600, owner qmailr.

An exchanger that has not the TLS there must be is passed by for the next one.
Where none has, mail waits (#4.7.5), and the report says why.

What the sender asked for with his message (RET, ENVID, NOTIFY, ORCPT: RFC 3461)
a warm process passes on where DSN is offered; then that server reports, and not
this system. A message with REQUIRETLS (RFC 8689) goes only to a server that
offers to keep it, by TLS and with a certificate as above or, without a policy, as
for `verify` in control/tlspolicy, whatever that file says; that it takes mail for
the domain, DNSSEC, a policy or a route must say. Where there is none it comes
back (5.7.30); while nobody can say what the policy is, it waits.
Of a message with the header field `TLS-Required: No` (RFC 8689) records and
policies of the other side are not in the way: where mail would wait for them, it
goes as it would go without, by TLS if that is offered.
The record of a recipient whose parameters were passed on is followed by another
one, P.

Where a warm process finds SMTPUTF8 (RFC 6531) offered, it says it of messages
with addresses or a header in UTF-8. Elsewhere a host in UTF-8 goes by its name in
ASCII (IDNA2008), and a message with a local part beyond ASCII comes back (5.6.7);
a header goes as it is, as ever: servers take it, and nobody can change it without
breaking signatures.

Mail for a domain with a line in control/qmtproutes goes by QMTP, or by QMTPS, to the
host that it names, and waits where that cannot be.

Mail comes from the addresses of this host that control/sourceaddresses names for
its domain, or control/outgoingip for all; where one cannot be had it waits.

Environment: DNSCACHEIP names servers to ask instead of qmail-dns.
Files: control/: me, helohost, smtproutes, smtpcredentials, timeoutconnect,
timeoutremote, qmtproutes, tlspolicy, tlstrust.pem, outgoingip, sourceaddresses;
queue/lock/tcpto.
Runs as: qmailr.
Faces: the servers of other hosts.
Exit codes: 0 always.
"""

from __future__ import annotations

from qmail.formats import address
from qmail.host import fds
from qmail.rules import tlsneeds
from qmail.stores import home
from qmail.stores.control import Control
from qmail.stores.nexthop import NextHops
from qmail.stores.remotecontrols import Failure, Settings
from qmail.stores.smtpsession import header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qmail.formats.mailparameters import Single
    from qmail.rules.smtproutes import Route
    from qmail.rules.tlsneeds import Needs
    from qmail.stores.control import Stamp
    from qmail.stores.home import Home
    from qmail.stores.nexthop import AnySession

LARGE = 262144  # bytes; such a message may take its time
LOOKED = 1.0  # seconds between looks at the control files, where this process lives on
USAGE = b"DI (qmail-remote) was invoked improperly. (#5.3.5)\n"
NO_SYSTEM = b"ZSystem resources temporarily unavailable. (#4.3.0)\n"
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


class Remote:
    """Delivers one message after the other, and keeps the connection to the last server that took one.

    `extended`: greet with EHLO, and use what the server announces.
    """

    def __init__(self, where: Home, environ: Mapping[bytes, bytes], *, extended: bool) -> None:
        self._home, self._extended = where, extended
        self._hops = NextHops(where, environ, extended=extended)
        self._settings: Settings | None = None
        self._kept: tuple[Route, AnySession] | None = None
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
        asked: Single | None = None,
    ) -> bytes:
        """Send the message on descriptor `message`, a file of `size` bytes, or (None) whatever can be read.

        `slow` is called where that may take more than a moment. `asked`: parameters of the one recipient. Returns the
        whole report.
        """
        try:
            if self._settings is None:
                self._settings = Settings(self._home)
            route, needs = self._settings.route(host), self._hops.needs(self._settings, host)
            if asked is not None and asked.requiretls:
                needs = needs.required()
            if not route.qmtp:
                sender, *recipients = self._written(sender, *recipients)
            session = self._kept_for(route, needs)
            if slow and (session is None or (size or 0) > LARGE):
                slow()
            if session is not None:
                if slow:
                    session.tell_when_slow(slow)
                session.transact(sender, recipients, message, size, asked)
            if session is None or session.again:
                self.leave()
                session = self._sent(
                    host, needs, lambda fresh: fresh.transact(sender, recipients, message, size, asked),
                    lambda: tlsneeds.waived(header(message, size or 0)),
                )  # fmt: skip
        except Failure as failure:
            return failure.record + b"\0"
        except OSError:
            return NO_SYSTEM + b"\0"
        self._kept = (route, session)
        return session.report

    def _sent(
        self, host: bytes, needs: Needs, transact: Callable[[AnySession], None], waived: Callable[[], bool]
    ) -> AnySession:
        """The session with a server that was connected to. Raises Failure or OSError.

        `waived`: may the message rather go without the TLS that the domain demands than not at all? What our own files
        demand, and that a password is said to nobody else, is not the sender's to waive.
        """
        assert self._settings is not None
        route = self._settings.route(host)
        try:
            return self._hops.send(self._settings, route, needs, transact)
        except Failure as failure:
            if needs.final or failure.demanded not in tlsneeds.WAIVED or not waived():
                raise
        return self._hops.send(self._settings, route, self._hops.own_needs(self._settings, host).alone(), transact)

    @property
    def connection(self) -> int | None:
        """The descriptor of the connection that is kept; whatever comes there before the next message ends it."""
        return self._kept[1].fileno() if self._kept and self._kept[1].reusable else None

    def leave(self) -> None:
        """Take leave of the server, and of qmail-dns."""
        self._hops.close()
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

    def _kept_for(self, route: Route, needs: Needs) -> AnySession | None:
        if self._kept is None:
            return None
        before, session = self._kept
        return session if session.reusable and before.is_as(route) and session.satisfies(needs) else None

    def _written(self, *addresses: bytes) -> list[bytes]:
        """Addresses as they stand between the brackets of MAIL and RCPT. Raises Failure."""
        written = [address.mailbox(each, international=self._extended) for each in addresses]
        spoken = [each for each in written if each is not None]
        if len(spoken) < len(addresses):
            raise Failure(BROKEN_ADDRESS)
        return spoken
