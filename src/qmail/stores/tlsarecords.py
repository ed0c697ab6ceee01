"""The TLSA records of an exchanger, asked for where DNSSEC vouches for all the way to it (RFC 7672 2)."""

from __future__ import annotations

from qmail.protocols.dnsquery import ALIASES, FOUND, TLSA
from qmail.stores.names import Unanswered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.protocols.dnsquery import Answer
    from qmail.rules.mx import Exchanger
    from qmail.stores.names import Names

MOST_ALIASES = 8  # of aliases of aliases


class Found:
    """`records`, and `names`, for one of which a certificate must be where names matter (RFC 7672 3.2.2).

    The first one is that below which the records stand (the TLSA base domain), and the server's for TLS.
    """

    __slots__ = ("names", "records")

    def __init__(self, names: list[bytes], records: list[bytes]) -> None:
        self.names, self.records = names, records


def look_up(names: Names, exchanger: Exchanger, port: int, domain: bytes) -> Found | None:
    """The records for this exchanger's `port`, usable or not; None where DNSSEC does not vouch for any.

    `domain`: whose mail it takes. Raises Unanswered: nobody could say, or what was said is bogus; an attacker may
    have made it so.
    """
    for base in _bases(names, exchanger):
        answer = _asked(names, TLSA, b"_%d._tcp.%b" % (port, base))
        if answer.status == FOUND and answer.authentic:
            domain = domain.rstrip(b".").lower()
            others = [domain, _meant(names, domain)] if exchanger.renamed else [domain]
            return Found([base, *others], list(answer.records))
    return None


def _bases(names: Names, exchanger: Exchanger) -> list[bytes]:
    """Where records may stand, in order (RFC 7672 2.2.2).

    Nothing is asked where addresses are not secure: some name servers of such hosts do not answer (2.1.3).
    """
    name = exchanger.name.rstrip(b".").lower()
    if not exchanger.vouched or not (exchanger.secure or exchanger.alias):
        return []
    if not exchanger.alias:
        return [name]
    meant = _meant(names, name)
    if not exchanger.secure:
        return [name] if meant != name else []
    return [meant, name]


def _meant(names: Names, alias: bytes) -> bytes:
    """The name that this one is an alias of, as far as DNSSEC vouches for that."""
    for _ in range(MOST_ALIASES):
        answer = _asked(names, ALIASES, alias)
        if answer.status != FOUND or not answer.authentic:
            break
        alias = answer.records[0]
    return alias


def _asked(names: Names, kind: bytes, name: bytes) -> Answer:
    (answer,) = names.ask([(kind, name)])
    if answer.trouble:
        raise Unanswered(name)
    return answer
