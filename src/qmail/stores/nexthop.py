"""Who takes the mail for a host, what TLS it needs there, and the connection to it."""

from __future__ import annotations

from qmail.formats import tlsa
from qmail.host import connect, interfaces
from qmail.host.reasons import reason
from qmail.rules import mx, smtpcredentials, stsneeds, tlsneeds, tlspolicy
from qmail.rules.tlsneeds import Unmet
from qmail.stores import names, tlsarecords
from qmail.stores.policies import Policies
from qmail.stores.qmtpsession import QmtpSession
from qmail.stores.remotecontrols import Failure
from qmail.stores.smtpsession import Session
from qmail.stores.tcpto import Timeouts
from qmail.stores.tlscounts import Teller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qmail.rules.mx import Exchanger
    from qmail.rules.smtproutes import Route
    from qmail.rules.sourceaddresses import Sources
    from qmail.rules.tlsneeds import Needs
    from qmail.stores.home import Home
    from qmail.stores.remotecontrols import Settings

    AnySession = Session | QmtpSession

NO_ANSWER = b"ZSorry, I couldn't find any host by that name. (#4.1.2)\n"
NO_CONNECTION = b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n"
NO_HOST = b"DSorry, I couldn't find any host named %b. (#5.1.2)\n"
NO_EXCHANGER = b"DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n"
NULL_EXCHANGER = b"DSorry, %b says that it takes no mail. (#5.1.10)\n"
UNBINDABLE = b"ZI am to send from %b, and cannot: %b. (#4.3.5)\n"
NO_SOURCE = b"ZThe address that I am to send from is none: `%b`. (#4.3.5)\n"
OTHER_KIND = b"ZI am to send from addresses of another kind than those of that host, IPv4 or IPv6. (#4.4.1)\n"
OURSELVES = (
    b"DSorry. Although I'm listed as a best-preference MX or A for that host,\n"
    b"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n"
)


class NextHops:
    """The servers of other hosts. `extended`: greet them with EHLO, and use what they announce; TLS is part of that.

    Otherwise that is done only for mail that must go by TLS since the administrator says so.
    """

    def __init__(self, where: Home, environ: Mapping[bytes, bytes], *, extended: bool) -> None:
        self._home, self._extended = where, extended
        # A program of its own asks the servers that its environment names; a worker's is that of qmail-dns too.
        self._names = names.Names(where, environ, alone=not extended and b"DNSCACHEIP" in environ)
        self._timeouts = Timeouts(where)
        self._policies, self._teller = Policies(where), Teller(where)

    def needs(self, settings: Settings, host: bytes) -> Needs:
        """What TLS mail to a domain needs, before it is known who takes it: here each source of that adds its own.

        Raises Failure.
        """
        needs, route = self.own_needs(settings, host), settings.route(host)
        if not self._extended and needs.level < tlsneeds.ENCRYPT:
            return tlsneeds.Needs(tlsneeds.NONE, settled=True)
        if not self._extended or needs.settled or route.relay:
            return needs  # whoever takes mail for others is not the one whom their policy is about
        return stsneeds.needs(needs, self._policies.find(route.host).policy)

    def own_needs(self, settings: Settings, host: bytes) -> Needs:
        """What this system's own control files demand of mail to a domain, and of its password. Raises Failure."""
        needs, route = tlspolicy.needs(settings.policies, host), settings.route(host)
        if settings.credentials(route) is not None:
            needs = smtpcredentials.needs(needs, settings.policies, route.host)
        return needs

    def exchangers(self, route: Route) -> list[Exchanger]:
        """Who to connect to, best first. Raises Failure."""
        try:
            if route.relay:
                return [self._names.located(route.host, vouched=True)]
            found = self._names.exchangers(route.host)
        except names.Unanswered:
            raise Failure(NO_ANSWER) from None
        except names.Unknown:
            raise Failure(NO_HOST % _shown(route.host)) from None
        except names.Refusing:
            raise Failure(NULL_EXCHANGER % _shown(route.host)) from None
        if not found:
            raise Failure(NO_EXCHANGER)
        # What we send from is ours, also where it is to come to this machine only when another one fails.
        own = interfaces.addresses() | frozenset(route.sources.addresses if route.sources else ())
        better = mx.before_ourselves(found, lambda each: interfaces.leads_here(each, own))
        if not better:
            raise Failure(OURSELVES)
        return better

    def needs_at(self, exchanger: Exchanger, route: Route, needs: Needs) -> Needs:
        """What TLS there must be at one exchanger: here each source of that adds its own."""
        found_safely = exchanger.vouched or route.relay or route.host.startswith(b"[") or needs.exchangers is not None
        if needs.final and not found_safely:  # RFC 8689 4.2.1, step 2
            known = self._policies.known(route.host)
            unsure = not needs.settled and (known.failure or not known.lasting)
            return needs.failing(tlsneeds.MESSAGE, Unmet(tlsneeds.UNSURE if unsure else tlsneeds.UNPROVEN))
        if needs.settled:
            return needs
        try:
            found = tlsarecords.look_up(self._names, exchanger, route.port, route.host)
        except names.Unanswered:
            return needs.failing(tlsneeds.TLSA, Unmet(tlsneeds.DNSSEC_INVALID))
        if found is not None:
            needs = needs.told(tlsa.usable(found.records), found.names)
        if needs.level == tlsneeds.DANE and not needs.records:
            return needs.failing(needs.origin, Unmet(tlsneeds.DANE_REQUIRED))
        return stsneeds.at_exchanger(needs, _name_of(exchanger))

    def send(
        self, settings: Settings, route: Route, needs: Needs, transact: Callable[[AnySession], None]
    ) -> AnySession:
        """The session with the best server that answers, and has the TLS there must be; `transact` was done with it.

        Raises Failure or OSError.
        """
        record, demanded = NO_CONNECTION, b""
        for exchanger in self._reached(self.exchangers(route), route.sources):
            wanted = self.needs_at(exchanger, route, needs)
            if wanted.unmet is not None:
                if wanted.unmet.result not in (tlsneeds.UNPROVEN, tlsneeds.UNSURE):
                    self._count(route, exchanger, wanted, wanted.unmet.result)
                record = tlsneeds.report(b"I found " + exchanger.name, wanted.unmet, final=wanted.final)
                demanded = wanted.origin
                continue
            session = self._connected(settings, exchanger, route, wanted)
            result = b""
            while session is not None:
                transact(session)
                if session.unmet is not None:
                    result = result or session.unmet.result
                if session.instead is None:
                    break
                session.close()
                session = self._connected(settings, exchanger, route, session.instead)
            if session is not None and session.clear:
                result = result or tlsneeds.NO_STARTTLS
            if result or (session is not None and session.secured):
                self._count(route, exchanger, wanted, result, session)
            if session is None:
                continue
            if session.unmet is None:
                return session
            session.close()
            record, demanded = session.report.removesuffix(b"\0"), session.needs.origin
        raise Failure(record, demanded)

    def close(self) -> None:
        """Let the connections to qmail-dns and its kin go."""
        self._names.close()
        self._policies.close()
        self._teller.close()

    def _count(
        self, route: Route, exchanger: Exchanger, needs: Needs, result: bytes, session: AnySession | None = None
    ) -> None:
        """Tell of a session, for reports (RFC 8460), or of one that was not to be."""
        if not self._extended or route.relay or needs.level == tlsneeds.NONE:
            return
        known = self._policies.known(route.host)
        told = stsneeds.session(route.host, needs, known.policy, known.failure, _name_of(exchanger), result)
        if told is None:
            return
        if session is not None:
            told.address, told.ours = session.addresses()
        self._teller.tell(told)

    def _connected(self, settings: Settings, exchanger: Exchanger, route: Route, needs: Needs) -> AnySession | None:
        """A session with this exchanger, None where it does not answer. Raises Failure or OSError."""
        addresses = [each for each in exchanger.addresses if not self._timeouts.is_shunned(each)]
        try:
            attempt = connect.connect(
                mx.interleaved(addresses), route.port, settings.timeout_connect, settings.timeout,
                route.sources.towards if route.sources else connect.anywhere,
            )  # fmt: skip
        except connect.Unbindable as error:
            raise Failure(UNBINDABLE % (connect.text(error.address), reason(error))) from None
        for silent in attempt.silent:
            self._timeouts.timed_out(silent)
        if attempt.connection is None:
            return None
        self._timeouts.connected(attempt.address)
        if route.qmtp:
            return QmtpSession(
                attempt.connection, connect.text(attempt.address), settings.timeout, tls=route.tls, needs=needs,
                name=_name_of(exchanger), trusted=self._home.file(b"control/tlstrust.pem"),
            )  # fmt: skip
        return Session(
            attempt.connection, connect.text(attempt.address), settings.hello, settings.timeout,
            extended=self._extended or needs.level > tlsneeds.NONE, needs=needs,
            name=_name_of(exchanger), trusted=self._home.file(b"control/tlstrust.pem"),
            credentials=settings.credentials(route),
        )  # fmt: skip

    def _reached(self, exchangers: list[Exchanger], sources: Sources | None) -> list[Exchanger]:
        """Those of them that can be connected to from our `sources`. Raises Failure."""
        if sources is None:
            return exchangers
        if sources.wrong:
            raise Failure(NO_SOURCE % _shown(sources.wrong))
        for each in exchangers:
            each.addresses = [address for address in each.addresses if sources.towards(address) is not None]
        found = [each for each in exchangers if each.addresses]
        if not found:
            raise Failure(OTHER_KIND)
        return found


def _name_of(exchanger: Exchanger) -> bytes:
    """Its name as it stands in certificates and policies."""
    return exchanger.name.strip(b"[]").rstrip(b".")


def _shown(host: bytes) -> bytes:
    return bytes(byte if 33 <= byte <= 126 else 63 for byte in host)
