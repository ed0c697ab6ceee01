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
    """`records`, and the name below which they stand (the TLSA base domain), which is the server's for TLS."""

    __slots__ = ("base", "records")

    def __init__(self, base: bytes, records: list[bytes]) -> None:
        self.base, self.records = base, records


def look_up(names: Names, exchanger: Exchanger, port: int) -> Found | None:
    """The records for this exchanger's `port`, usable or not; None where DNSSEC does not vouch for any.

    Raises Unanswered: nobody could say, or what was said is bogus; an attacker may have made it so.
    """
    for base in _bases(names, exchanger):
        answer = _asked(names, TLSA, b"_%d._tcp.%b" % (port, base))
        if answer.status == FOUND and answer.authentic:
            return Found(base, list(answer.records))
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
    target, steps = name, 0
    while (answer := _asked(names, ALIASES, target)).status == FOUND and answer.authentic and steps < MOST_ALIASES:
        target, steps = answer.records[0], steps + 1
    if not exchanger.secure:
        return [name] if steps else []
    return [target, name]


def _asked(names: Names, kind: bytes, name: bytes) -> Answer:
    (answer,) = names.ask([(kind, name)])
    if answer.trouble:
        raise Unanswered(name)
    return answer
