"""Which of our addresses mail goes out from: control/outgoingip and control/sourceaddresses (qmail-remote(8)).

    192.0.2.1                        outgoingip: an IPv4 or IPv6 address a line, for every destination
    domain:192.0.2.1 2001:db8::1     sourceaddresses: for mail to a domain; names fit as in control/smtproutes
    domain:                          the system's choice

Where only one kind of address, IPv4 or IPv6, is named, hosts are reached by that kind alone. 0.0.0.0 and :: leave
the choice to the system, among those of their kind.
"""

from __future__ import annotations

from qmail.formats import ip
from qmail.rules import hosttable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Sources:
    """Our end of connections: packed `addresses`. `wrong`: what stands there instead."""

    __slots__ = ("addresses", "wrong")

    def __init__(self, addresses: Sequence[bytes] = (), wrong: bytes = b"") -> None:
        self.addresses, self.wrong = tuple(addresses), wrong

    def towards(self, address: bytes) -> bytes | None:
        """The first of the kind of this packed address; None: it is not to be connected to."""
        return next((each for each in self.addresses if len(each) == len(address)), None)


def table(outgoing: Iterable[bytes], lines: Iterable[bytes]) -> dict[bytes, Sources]:
    """Names in lower case to sources, from the lines of outgoingip and of sourceaddresses."""
    everywhere = _sources(b" ".join(outgoing))
    found = {b"": everywhere} if everywhere.addresses or everywhere.wrong else {}
    return found | {name: _sources(text) for name, text in hosttable.table(lines).items()}


def sources(named: Mapping[bytes, Sources], host: bytes) -> Sources | None:
    """Where mail for `host` goes out from; None: the system's choice."""
    found = hosttable.longest(named, host)
    return found if found is not None and (found.addresses or found.wrong) else None


def _sources(text: bytes) -> Sources:
    addresses = []
    for word in text.split():
        bare = word[1:-1] if word[:1] == b"[" and word[-1:] == b"]" else word
        four, six = ip.v4(bare), ip.v6(bare[5:] if bare[:5].lower() == b"ipv6:" else bare)
        if four is not None:
            addresses.append(four.to_bytes(4, "big"))
        elif six is not None:
            addresses.append(six.to_bytes(16, "big"))
        else:
            return Sources(wrong=word)
    return Sources(addresses)
