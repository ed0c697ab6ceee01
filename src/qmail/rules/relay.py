"""May this client send this message there: rcpthosts, morercpthosts, badmailfrom, localiphost (qmail-smtpd(8)).

Without rcpthosts nothing is open: then only recipients without a host, which are ours, are taken.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Door:
    """The answers of one set of control files.

    `rcpthosts`: lines of that file, None where it is missing. `more`: is this lower-case name in
    morercpthosts.cdb; may raise what the caller knows. `badmailfrom`: lines of that file.
    """

    __slots__ = ("_bad", "_hosts", "_more", "closed")

    def __init__(
        self, rcpthosts: Iterable[bytes] | None, more: Callable[[bytes], bool] | None, badmailfrom: Iterable[bytes]
    ) -> None:
        self.closed = rcpthosts is None
        self._hosts = frozenset(line.lower() for line in rcpthosts or ())
        self._more = more
        self._bad = frozenset(line.lower() for line in badmailfrom)

    def blames(self, sender: bytes) -> bool:
        """Is this sender, or `@` and its host, in badmailfrom?"""
        if not self._bad:
            return False
        sender = sender.lower()
        at = sender.rfind(b"@")
        return sender in self._bad or (at >= 0 and sender[at:] in self._bad)

    def accepts(self, recipient: bytes) -> bool:
        """Is the recipient's host, or a `.suffix` of it, one that we take mail for? Without a host it is ours."""
        _, at, host = recipient.rpartition(b"@")
        if not at:
            return True
        if self.closed:
            return False
        host = host.lower()
        if host in self._hosts:
            return True
        names = _names(host)
        if not self._hosts.isdisjoint(names):
            return True
        return self._more is not None and any(self._more(name) for name in names)


def at_local_host(address: bytes, host: bytes, is_ours: Callable[[bytes], bool]) -> bytes:
    """`user@[our address]` with `host` in place of the bracketed address; other addresses as they are.

    `is_ours` gets the text within the brackets.
    """
    if address[-1:] != b"]":
        return address
    local, at, domain = address.rpartition(b"@")
    if at and domain[:1] == b"[" and is_ours(domain[1:-1]):
        return local + at + host
    return address


def _names(host: bytes) -> list[bytes]:
    # The host, then what begins at each of its dots, longest first.
    names, at = [host] if host else [], host.find(b".", 1)
    while at >= 0:
        names.append(host[at:])
        at = host.find(b".", at + 1)
    return names
