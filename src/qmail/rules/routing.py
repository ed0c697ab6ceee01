"""Local or remote: what envnoathost, percenthack, locals and virtualdomains make of a recipient (qmail-send(8)).

Names are compared without regard to case, and to whether they are written in U-labels or in A-labels. In
virtualdomains the whole address is looked up first, then its domain, then each `.suffix` of the domain from the longest
on, then the empty name; an entry without a prefix ends the search and makes the address remote. Of two lines for one
name the later one counts.
"""

from __future__ import annotations

from qmail.formats.domainname import compared, compared_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LOCAL, REMOTE = CHANNELS = (0, 1)
CHANNEL_NAMES = (b"local", b"remote")


class Routes:
    """The control files that decide, as sets and a table. A value; another reading makes another one."""

    __slots__ = ("_locals", "_nohost", "_percent", "_virtual")

    def __init__(
        self,
        envnoathost: bytes,
        locals_: Iterable[bytes],
        percenthack: Iterable[bytes],
        virtualdomains: Iterable[bytes],
    ) -> None:
        self._nohost = b"@" + envnoathost
        self._locals = frozenset(map(compared, locals_))
        self._percent = frozenset(map(compared, percenthack))
        self._virtual: Mapping[bytes, bytes] = {
            compared_address(name): prefix
            for name, colon, prefix in (line.partition(b":") for line in virtualdomains)
            if colon
        }  # fmt: skip

    def route(self, recipient: bytes) -> tuple[int, bytes]:
        """(LOCAL or REMOTE, the address to deliver to) for an envelope recipient."""
        if b"@" not in recipient:
            recipient += self._nohost
        domain = compared(recipient[recipient.rindex(b"@") + 1 :])
        if self._percent and domain in self._percent:
            recipient = self._without_percents(recipient)
            domain = compared(recipient[recipient.rindex(b"@") + 1 :])
        if domain in self._locals:
            return LOCAL, recipient
        if self._virtual and (prefix := self._prefix(compared_address(recipient), domain)):
            return LOCAL, prefix + b"-" + recipient
        return REMOTE, recipient

    def shown(self, address: bytes) -> bytes:
        """The address a sender knows: without the prefix that a virtual domain has put in front."""
        _, at, domain = address.rpartition(b"@")
        if at and self._virtual:
            for name in _suffixes(compared(domain)):
                prefix = self._virtual.get(name)
                if prefix is not None:
                    return address[len(prefix) + 1 :] if prefix and address.startswith(prefix + b"-") else address
        return address

    def _without_percents(self, recipient: bytes) -> bytes:
        local, _, host = recipient.rpartition(b"@")
        while compared(host) in self._percent:
            local, percent, host = local.rpartition(b"%")
            if not percent:
                break
            recipient = local + b"@" + host
        return recipient

    def _prefix(self, address: bytes, domain: bytes) -> bytes:
        virtual = self._virtual
        if address in virtual:
            return virtual[address]
        for name in _suffixes(domain):
            if name in virtual:
                return virtual[name]
        return b""


def _suffixes(domain: bytes) -> Iterator[bytes]:
    yield domain
    dot = domain.find(b".", 1)
    while dot > 0:
        yield domain[dot:]
        dot = domain.find(b".", dot + 1)
    if domain:
        yield b""


def variable_sender(sender: bytes, recipient: bytes) -> bytes:
    """The envelope sender of one delivery (VERP, addresses(5)): a sender `owner-@host-@[]` names the recipient.

    For `joe@example.org` that is `owner-joe=example.org@host`; other senders stay as they are.
    """
    if not sender.endswith(b"-@[]"):
        return sender
    owner, at, host = sender[:-4].rpartition(b"@")
    local, with_host, domain = recipient.rpartition(b"@")
    if not at or not with_host:
        return sender
    return b"%b%b=%b@%b" % (owner, local, domain, host)
