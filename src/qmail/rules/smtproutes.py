"""Where mail for a host goes: control/smtproutes (qmail-remote(8)).

    host:relay              host:relay:port          .suffix:relay           :relay
    host:                   as if the line were not there: ask for its mail exchangers

Which line counts is decided as in every table of hosts (rules.hosttable). A relay is a host name or an address,
[1.2.3.4] or [IPv6:...]; words after it are ignored.
"""

from __future__ import annotations

from qmail.formats import domainname
from qmail.rules import hosttable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.rules.sourceaddresses import Sources

SMTP = 25


class Route:
    """A host to send to, and its port. `relay`: it was named by a line, so its own addresses count, not its MX.
    `sources`: our end of connections to it (rules.sourceaddresses); None: the system's choice. `qmtp`: it speaks QMTP,
    `tls`: with TLS from the first byte (rules.qmtproutes).

    `key` is equal for routes that lead to the same servers.
    """

    __slots__ = ("host", "key", "port", "qmtp", "relay", "sources", "tls")

    def __init__(self, host: bytes, port: int = SMTP, relay: bool = False) -> None:
        self.host, self.port, self.relay = host, port, relay
        self.sources: Sources | None = None
        self.qmtp = self.tls = False
        self.key = (host.lower(), port, relay)

    def is_as(self, other: Route) -> bool:
        """Do both lead to the same servers, and from the same of our addresses?"""
        ours, theirs = (each.sources.addresses if each.sources else () for each in (self, other))
        return self.key == other.key and ours == theirs and (self.qmtp, self.tls) == (other.qmtp, other.tls)


def route(routes: Mapping[bytes, bytes], host: bytes) -> Route:
    """Where to send what is for `host`."""
    found = hosttable.longest(routes, host)
    return relay(found) if found else Route(domainname.ascii(host) or host)


def relay(text: bytes, usual: int = SMTP) -> Route:
    """What stands beside a name: a relay, and its port where that is not the `usual` one."""
    words = text.split(maxsplit=1)
    word = words[0] if words else b""
    # The colons of an IPv6 address end at its bracket.
    bracket = word.find(b"]") + 1 if word.startswith(b"[") else 0
    host, colon, port = word[bracket:].partition(b":")
    return Route(word[:bracket] + host, _number(port) if colon else usual, relay=True)


def _number(text: bytes) -> int:
    """The digits that `text` begins with; 0, a port where nobody listens, without any."""
    end = 0
    while end < min(len(text), 6) and text[end : end + 1].isdigit():
        end += 1
    return int(text[:end] or b"0")
