"""qmail-tlspolicy: what TLS mail to a domain must have, and who says so.

Usage: qmail-tlspolicy DOMAIN...

    $ qmail tlspolicy example.com partner.example
    example.com: by TLS if it is offered
        mx1.example.com: by TLS, with a certificate that its TLSA records tell (TLSA: 3 1 1, 2 0 1)
        mx2.example.com: by TLS if it is offered (no TLSA records)
    partner.example: by TLS, with a certificate for its name that this system trusts (control/tlspolicy)
        mail.partner.example: the same (DNSSEC does not vouch for its addresses)

Each DOMAIN is one that mail could go to, or an address in brackets.

Behaviour:
Asks what a warm qmail-remote would ask before it connects to anybody, and says
what it would do: for the domain, then for each of its exchangers, best first.
Behind that stands who demands it, or why nobody demands more. Nobody is
connected to.

Environment: QMAIL_HOME; DNSCACHEIP: the name servers to ask, where no qmail-dns
runs; else /etc/resolv.conf.
Files: control/tlspolicy, smtproutes and the others of qmail-remote(8).
Runs as: you; where there is a control/smtpcredentials, root. qmail-stsd, which
    knows the policies of domains (MTA-STS), is asked where you are root or qmailr.
Exit codes: 0 mail may go to each domain; 1 to one of them it may not go at all;
    100 usage; 111 no name server could say, or a file cannot be read.
"""

from __future__ import annotations

from qmail.formats import tlsa
from qmail.formats.verdict import Temporary, Usage
from qmail.host import program
from qmail.host.program import line
from qmail.rules import tlsneeds
from qmail.stores import home as homes
from qmail.stores.nexthop import NextHops
from qmail.stores.remotecontrols import Failure, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.rules.mx import Exchanger
    from qmail.rules.tlsneeds import Needs

USAGE = b"qmail-tlspolicy: usage: qmail-tlspolicy DOMAIN..."
WORDS = {
    tlsneeds.NONE: b"without TLS",
    tlsneeds.MAY: b"by TLS if it is offered",
    tlsneeds.ENCRYPT: b"by TLS, whoever the server is",
    tlsneeds.VERIFY: b"by TLS, with a certificate for its name that this system trusts",
    tlsneeds.DANE: b"by TLS, with a certificate that its TLSA records tell",
}
ORIGINS = {tlsneeds.LOCAL: b"control/tlspolicy", tlsneeds.TLSA: b"TLSA records", tlsneeds.STS: b"MTA-STS"}
NOWHERE, TEMPORARY = 1, 111


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    domains = argv[1:]
    if not domains or any(domain.startswith(b"-") for domain in domains):
        raise Usage(USAGE)
    where = homes.find(argv[0], environ)
    try:
        settings = Settings(where)
    except Failure as failure:
        raise Temporary(_words(failure)) from None
    hops = NextHops(where, environ, extended=True)
    try:
        codes = {_tell(hops, settings, domain) for domain in domains}
    except Failure as failure:
        raise Temporary(_words(failure)) from None
    finally:
        hops.close()
    return next((code for code in (NOWHERE, TEMPORARY) if code in codes), 0)


def _tell(hops: NextHops, settings: Settings, domain: bytes) -> int:
    """Say it of one domain; the exit code."""
    needs, route = hops.needs(settings, domain), settings.route(domain)
    program.say(1, line(domain + b": " + _what(needs)))
    try:
        exchangers = hops.exchangers(route)
    except Failure as failure:
        program.say(1, line(b"    " + _words(failure)))
        return TEMPORARY if failure.record.startswith(b"Z") else NOWHERE
    found = [(each, hops.needs_at(each, route, needs)) for each in exchangers]
    for exchanger, wanted in found:
        program.say(1, line(b"    " + exchanger.name + b": " + _here(exchanger, needs, wanted)))
    return NOWHERE if all(wanted.unmet for _, wanted in found) else 0


def _what(needs: Needs) -> bytes:
    said = b"" if needs.origin == tlsneeds.NOBODY else b" (%b)" % ORIGINS.get(needs.origin, needs.origin)
    return WORDS[needs.level] + said + (b"; a policy (MTA-STS) is being tested" if needs.trial else b"")


def _here(exchanger: Exchanger, needs: Needs, wanted: Needs) -> bytes:
    """What holds for one exchanger, where `needs` are those of the domain."""
    if wanted.unmet is not None:
        return b"nothing goes there: " + wanted.unmet.words
    if wanted.records:
        return WORDS[wanted.level] + b" (TLSA: %b)" % b", ".join(map(tlsa.kind, wanted.records))
    if wanted is not needs:
        return _what(wanted)
    return b"the same (%b)" % _why(exchanger, needs)


def _why(exchanger: Exchanger, needs: Needs) -> bytes:
    """Why its TLSA records do not count."""
    if needs.settled:
        return b"nobody else is asked"
    if not exchanger.vouched:
        return b"DNSSEC does not vouch for the exchangers of the domain"
    if not exchanger.secure:
        return b"DNSSEC does not vouch for its addresses"
    return b"no TLSA records"


def _words(failure: Failure) -> bytes:
    return b" ".join(failure.record[1:].split())
