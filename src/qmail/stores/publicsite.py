"""This host as others see it, from its control files, certificates, run files and interfaces."""

from __future__ import annotations

from functools import partial

from qmail.formats.verdict import Permanent
from qmail.host import interfaces
from qmail.rules import hosttable, mailrecords
from qmail.rules.recordverdict import UNSURE
from qmail.stores import certificates, checkup, openports, policyfetch, recordcheck
from qmail.stores.control import Control
from qmail.stores.names import Names, Unanswered, Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qmail.rules.finding import Finding
    from qmail.rules.found import Found
    from qmail.rules.mailrecords import Site
    from qmail.stores.home import Home

MOST = 100  # domains of an examination
LONGEST = 64  # addresses of a machine; of more, not all can be meant


def site(home: Home, found: Found, addresses: Sequence[bytes] = ()) -> Site:
    """`addresses`: those that lead here; else the public ones of this machine. Raises Permanent, Temporary, OSError."""
    me = found.first(b"me")
    if not me:
        raise Permanent(b"control/me is missing or empty: run config-fast with the name of this host")
    own = addresses or sorted(filter(mailrecords.is_public, interfaces.addresses()), key=lambda each: (len(each), each))
    keys = certificates.keys(Control(home.path), me)
    smarthost = hosttable.table(found.lines(b"smtproutes")).get(b"", b"")
    return mailrecords.Site(me, own[:LONGEST], keys, openports.public(found), smarthost)


def domains(found: Found) -> list[bytes]:
    """Those whose users are here, by name."""
    virtual = [line.partition(b":")[0] for line in found.lines(b"virtualdomains")]
    names = (name.lower() for name in found.lines(b"locals") + virtual if b"@" not in name)
    return [name for name in dict.fromkeys(names) if b"." in name.lstrip(b".") and not name.startswith(b".")]


def findings(home: Home, found: Found, environ: Mapping[bytes, bytes]) -> Iterator[Finding]:
    """What is wrong in the DNS. Of an installation that takes no mail from the world, only its name is looked up."""
    me = found.first(b"me")
    if not me or me.endswith(b".localhost"):
        return  # a name that is nobody's in the DNS (RFC 6761 6.3)
    names = Names(home, environ)
    if home.single or mailrecords.SMTP_PORT not in openports.public(found) or not _is_reached(me, names):
        yield from checkup.own_name(home, me, environ)
        return
    check = recordcheck.Check(site(home, found), names, partial(policyfetch.awaited, home, environ))
    for verdicts in (check.host(), *map(check.domain, domains(found)[:MOST])):
        for verdict in verdicts:
            if verdict.is_trouble:
                yield verdict.finding
            elif verdict.status == UNSURE:
                yield verdict.finding
                return  # name servers that are silent now would be so for every question


def _is_reached(me: bytes, names: Names) -> bool:
    # The DNS has private addresses only for a host that serves a network of its own.
    try:
        known = names.addresses(me)
    except Unanswered:
        return False
    except Unknown:
        known = list(interfaces.addresses())
    return any(map(mailrecords.is_public, known))
