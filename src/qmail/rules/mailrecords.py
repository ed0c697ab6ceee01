"""The DNS records of a host that takes and sends mail, and of a domain whose mail it takes, as lines of a zone file.

RFC 5321 5.1 (MX), RFC 7208 (SPF), RFC 6698 and 7672 (TLSA), RFC 8461 (MTA-STS), RFC 8460 (TLS-RPT), RFC 7489 (DMARC),
RFC 6186 and 8314 (SRV).
"""

from __future__ import annotations

import hashlib

from qmail.formats import ip, mtasts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

A, AAAA, MX, TXT, TLSA, SRV, PTR = b"A", b"AAAA", b"MX", b"TXT", b"TLSA", b"SRV", b"PTR"
SMTP_PORT = 25
# Service name and port, in the order in which clients are to prefer them (RFC 8314 3.3).
SERVICES = ((b"_submissions", 465), (b"_submission", 587), (b"_pop3s", 995), (b"_pop3", 110))
POLICY_AGE = 604_800  # seconds: a week
_PRIVATE = [
    network
    for text in (
        b"0.0.0.0/8", b"10.0.0.0/8", b"100.64.0.0/10", b"127.0.0.0/8", b"169.254.0.0/16", b"172.16.0.0/12",
        b"192.168.0.0/16", b"224.0.0.0/3", b"::/127", b"::ffff:0:0/96", b"fc00::/7", b"fe80::/10", b"ff00::/8",
    )
    if (network := ip.network(text)) is not None
]  # fmt: skip


class Site:
    """The host: its name, its public addresses (packed), `keys`: the DER of the public key in use and of the next ones,
    `ports`: those that anybody may connect to, `smarthost`: who sends everything on, or b"".
    """

    __slots__ = ("addresses", "keys", "name", "ports", "smarthost")

    def __init__(
        self,
        name: bytes,
        addresses: Sequence[bytes],
        keys: Sequence[bytes] = (),
        ports: Iterable[int] = (SMTP_PORT,),
        smarthost: bytes = b"",
    ) -> None:
        self.name, self.addresses, self.keys = name, list(addresses), list(keys)
        self.ports, self.smarthost = frozenset(ports), smarthost


class Record:
    """One record: owner's name without a dot at its end, type, and data as a zone file has it. `word`: what it is for.

    `elsewhere`: it is no line of this zone, but to be made by somebody else.
    """

    __slots__ = ("data", "elsewhere", "kind", "owner", "word")

    def __init__(self, owner: bytes, kind: bytes, data: bytes, word: bytes, *, elsewhere: bool = False) -> None:
        self.owner, self.kind, self.data, self.word, self.elsewhere = owner, kind, data, word, elsewhere

    @property
    def line(self) -> bytes:
        """The line of the zone file."""
        return self.owner + b". IN " + self.kind + b" " + self.data


def is_public(address: bytes) -> bool:
    """Can the rest of the world reach this packed address? (RFC 6890)"""
    number, bits = int.from_bytes(address, "big"), 8 * len(address)
    return not any(
        family == bits and number >> (bits - length) == first >> (bits - length) for family, first, length in _PRIVATE
    )


def host(site: Site) -> Iterator[Record]:
    """The records of the host itself; without addresses none of those that need one."""
    name = site.name
    for address in site.addresses:
        yield Record(name, A if len(address) == 4 else AAAA, shown(address), b"The address of this host.")
    for address in site.addresses:
        word = b"Ask who gave you the address for this one: others doubt mail from an address without a name."
        yield Record(reverse(address), PTR, name + b".", word, elsewhere=True)
    for i, key in enumerate(site.keys):
        word = b"The key of the certificate in use (DANE). It counts only where the zone is signed (DNSSEC)."
        if i:
            word = b"The next key: publish it two lifetimes of these records before it is used."
        yield Record(b"_25._tcp." + name, TLSA, tlsa(key), word)
    yield Record(name, TXT, b'"v=spf1 a -all"', b"Mail whose sender is this host itself, and bounces, come from here.")


def domain(site: Site, name: bytes) -> Iterator[Record]:
    """The records of a domain whose mail this host takes."""
    yield Record(name, MX, b"10 " + site.name + b".", b"Mail for the domain goes to this host.")
    word = b"Mail of the domain comes from this host; -all in place of ~all when you know of no other."
    if site.smarthost:
        word = b"Mail of the domain leaves by " + site.smarthost + b": write what its owner says before ~all."
    if name != site.name:
        yield Record(name, TXT, b'"v=spf1 mx ~all"', word)
    yield Record(
        b"_dmarc." + name, TXT, b'"v=DMARC1; p=none; rua=mailto:postmaster@' + name + b'"',
        b"Others tell you who sends in the domain's name. p=none asks for nothing else.",
    )  # fmt: skip
    yield Record(
        b"_mta-sts." + name, TXT, b'"v=STSv1; id=' + policy_id(policy(site.name)) + b'"',
        b"TLS with a good certificate is to be had; the policy is at https://mta-sts." + name + b" (below).",
    )  # fmt: skip
    yield Record(
        b"_smtp._tls." + name, TXT, b'"v=TLSRPTv1; rua=mailto:postmaster@' + name + b'"',
        b"Others tell you where they could not agree on TLS with this host.",
    )  # fmt: skip
    for service, port in SERVICES:
        if port in site.ports:
            data = b"0 1 %d " % port + site.name + b"."
            yield Record(service + b"._tcp." + name, SRV, data, b"Mail programs find the service by this.")


def policy(exchanger: bytes, mode: bytes = mtasts.TESTING) -> bytes:
    """The text of an MTA-STS policy that names one exchanger (RFC 8461 3.2)."""
    return b"".join(line + b"\r\n" for line in mtasts.Policy(mode, [exchanger], POLICY_AGE).lines)


def policy_id(text: bytes) -> bytes:
    """What the DNS says of a policy: another text has another one."""
    return hashlib.sha256(text).hexdigest()[:20].encode()


def tlsa(key: bytes) -> bytes:
    """The data of a TLSA record for a public key: 3 1 1 (RFC 7672 3.1.1)."""
    return b"3 1 1 " + hashlib.sha256(key).hexdigest().encode()


def shown(address: bytes) -> bytes:
    """A packed address as text."""
    number = int.from_bytes(address, "big")
    return ip.v4_text(number) if len(address) == 4 else ip.v6_text(number)


def reverse(address: bytes) -> bytes:
    """The name below in-addr.arpa or ip6.arpa of a packed address."""
    if len(address) == 4:
        return b".".join(b"%d" % part for part in reversed(address)) + b".in-addr.arpa"
    return b".".join(b"%x" % part for part in reversed([half for each in address for half in divmod(each, 16)])) + (
        b".ip6.arpa"
    )
