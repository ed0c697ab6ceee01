"""Questions to a recursive name server and what its replies say, by the DNS library (RFC 1035, RFC 6891).

Loading this module costs 75 ms and 13 MB: only qmail-dns does it at start, others when they must.
"""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.ipv4
import dns.ipv6
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV

from qmail.protocols import dnsquery
from qmail.protocols.dnsquery import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dns.rdata import Rdata

PAYLOAD = 1232  # bytes of a reply by UDP that pass everywhere (DNS Flag Day 2020)
MOST_RECORDS = 1000
MOST_ALIASES = 8  # followed by questions of our own
LONGEST_TTL = 86400  # seconds
LONGEST_NEGATIVE_TTL = 3600
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")

_TYPES = {
    dnsquery.EXCHANGERS: dns.rdatatype.MX,
    dnsquery.ADDRESSES4: dns.rdatatype.A,
    dnsquery.ADDRESSES6: dns.rdatatype.AAAA,
    dnsquery.POINTERS: dns.rdatatype.PTR,
    dnsquery.TEXTS: dns.rdatatype.TXT,
    dnsquery.TLSA: dns.rdatatype.TLSA,
    dnsquery.SERVICES: dns.rdatatype.SRV,
    dnsquery.ALIASES: dns.rdatatype.CNAME,
}


class Impossible(ValueError):
    """A name that cannot be in the DNS."""


class Elsewhere(Exception):
    """The reply is no answer to this question; another one may come."""


class Truncated(Exception):
    """The whole reply is to be had by TCP only."""


class Plainer(Exception):
    """The server wants the question without extensions."""


class Failed(Exception):
    """This server cannot say (SERVFAIL, REFUSED, or nonsense)."""


class Question:
    """One question in its form for the wire. Raises Impossible."""

    def __init__(self, kind: bytes, name: bytes) -> None:
        self.kind = kind
        self._name = _pointer(name) if kind == dnsquery.POINTERS else _name(name)
        self._aliases = MOST_ALIASES
        self._authentic = True  # the aliases that were followed so far
        self._message: dns.message.QueryMessage | None = None

    def wire(self, identity: int, *, extended: bool) -> bytes:
        """The question's bytes. `identity`: 16 random bits. `extended`: with EDNS."""
        self._message = dns.message.make_query(
            self._name, _TYPES[self.kind], use_edns=0 if extended else False, payload=PAYLOAD, id=identity
        )
        if extended:
            self._message.flags |= dns.flags.AD  # say whether it was validated (RFC 6840 5.7)
        return self._message.to_wire()

    def answer(self, data: bytes, *, whole: bool, trusted: bool) -> tuple[Answer, int] | None:
        """What a reply says, and for how many seconds that holds; None where the question must be put again,
        since it is now one for another name. `whole`: it came by TCP. `trusted`: what the server vouches for counts.

        Raises Elsewhere, Truncated, Plainer or Failed.
        """
        asked = self._message
        if asked is None or data[:2] != asked.id.to_bytes(2, "big"):
            raise Elsewhere
        try:
            reply = dns.message.from_wire(data, ignore_trailing=True, raise_on_truncation=False)
            if not asked.is_response(reply) or not isinstance(reply, dns.message.QueryMessage):
                raise Elsewhere
        except (dns.exception.DNSException, ValueError) as error:
            if len(data) > 3 and data[2] & 2 and not whole:
                raise Truncated from error
            raise Failed from error
        if reply.flags & dns.flags.TC and not whole:
            raise Truncated
        code = reply.rcode()
        if code in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS) and asked.edns >= 0:
            raise Plainer
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise Failed
        authentic = self._authentic and trusted and bool(reply.flags & dns.flags.AD)
        return self._found(reply, code == dns.rcode.NXDOMAIN, authentic)

    def _found(self, reply: dns.message.QueryMessage, nameless: bool, authentic: bool) -> tuple[Answer, int] | None:
        try:
            chain = reply.resolve_chaining()
        except dns.exception.DNSException as error:
            raise Failed from error
        alias = bool(chain.cnames) or self._aliases < MOST_ALIASES
        if chain.answer is not None:
            records = [_record(record) for record in list(chain.answer)[:MOST_RECORDS]]
            return Answer(dnsquery.FOUND, records, authentic, alias), min(chain.minimum_ttl, LONGEST_TTL)
        if chain.cnames and not nameless and not reply.authority:
            # A server that gives an alias without what it stands for: ask for that.
            if not self._aliases:
                raise Failed
            self._aliases, self._authentic = self._aliases - 1, authentic
            self._name = chain.canonical_name
            return None
        # Without a lifetime of its own (an SOA record), a negative answer is kept for a minute.
        seconds = min(chain.minimum_ttl, LONGEST_NEGATIVE_TTL) if reply.authority else 60
        return Answer(dnsquery.NAMELESS if nameless else dnsquery.NOTHING, (), authentic, alias), seconds


def shown(name: dns.name.Name) -> bytes:
    """A name as the answers of protocols/dnsquery have it."""
    return b".".join(
        bytes(label).lower()
        if PLAIN.issuperset(bytes(label).lower())
        else b"".join(bytes((byte,)) if byte in PLAIN else b"\\%03o" % byte for byte in bytes(label).lower())
        for label in name.labels
        if label
    )


def _record(record: Rdata) -> bytes:
    match record:
        case MX():
            return int(record.preference).to_bytes(2, "big") + shown(record.exchange)
        case A():
            return dns.ipv4.inet_aton(record.address)
        case AAAA():
            return dns.ipv6.inet_aton(record.address)
        case PTR() | CNAME():
            return shown(record.target)
        case TXT():
            return b"".join(record.strings)
        case SRV():
            numbers = (record.priority, record.weight, record.port)
            return b"".join(int(number).to_bytes(2, "big") for number in numbers) + shown(record.target)
        case _:
            return record.to_wire() or b""


def _name(text: bytes) -> dns.name.Name:
    labels = text.removesuffix(b".").split(b".")
    try:
        return dns.name.Name([*(_label(label) for label in labels), b""])
    except (dns.exception.DNSException, ValueError) as error:
        raise Impossible("no such name can be") from error


def _label(text: bytes) -> bytes:
    """A label's bytes: `\\ooo` stands for one."""
    first, *others = text.split(b"\\")
    for i, other in enumerate(others):
        if len(other) < 3 or not other[:3].isdigit():
            raise ValueError("a lone backslash")
        others[i] = bytes((int(other[:3], 8),)) + other[3:]
    label = first + b"".join(others)
    if not label:
        raise ValueError("an empty label")
    return label


def _pointer(address: bytes) -> dns.name.Name:
    if len(address) == 4:
        return dns.reversename.from_address(dns.ipv4.inet_ntoa(address))
    if len(address) == 16:
        return dns.reversename.from_address(dns.ipv6.inet_ntoa(address))
    raise Impossible("no address")
