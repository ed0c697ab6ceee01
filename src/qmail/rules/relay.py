"""May this client send this message there: rcpthosts, morercpthosts, badmailfrom, localiphost (qmail-smtpd(8)).

Without rcpthosts nothing is open: then only recipients without a host, which are ours, are taken.
"""

from __future__ import annotations

from qmail.formats import domainname

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Door:
    """The answers of one set of control files.

    `rcpthosts`: lines of that file, None where it is missing. `more`: is this name, as domainname.compared gives it, in
    morercpthosts.cdb. `badmailfrom`: lines of that file. `local_host`: what `[our address]` is called, None where that
    is not known. `is_ours`: is the text within the brackets an address of this machine. The two callables may raise
    what the caller knows.
    """

    __slots__ = ("_bad", "_hosts", "_is_ours", "_local_host", "_more", "closed")

    def __init__(
        self,
        rcpthosts: Iterable[bytes] | None,
        badmailfrom: Iterable[bytes] = (),
        *,
        more: Callable[[bytes], bool] | None = None,
        local_host: bytes | None = None,
        is_ours: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.closed = rcpthosts is None
        self._hosts = frozenset(map(domainname.compared, rcpthosts or ()))
        self._bad = frozenset(map(domainname.compared_address, badmailfrom))
        self._more, self._local_host, self._is_ours = more, local_host, is_ours

    def readdressed(self, address: bytes) -> bytes:
        """`user@[our address]` with the local host's name in place of the brackets; other addresses as they are."""
        if address[-1:] != b"]" or self._local_host is None or self._is_ours is None:
            return address
        local, at, domain = address.rpartition(b"@")
        if at and domain[:1] == b"[" and self._is_ours(domain[1:-1]):
            return local + at + self._local_host
        return address

    def blames(self, sender: bytes) -> bool:
        """Is this sender, or `@` and its host, in badmailfrom?"""
        if not self._bad:
            return False
        sender = domainname.compared_address(sender)
        at = sender.rfind(b"@")
        return sender in self._bad or (at >= 0 and sender[at:] in self._bad)

    def accepts(self, recipient: bytes) -> bool:
        """Is the recipient's host, or a `.suffix` of it, one that we take mail for? Without a host it is ours."""
        _, at, host = recipient.rpartition(b"@")
        if not at:
            return True
        if self.closed:
            return False
        host = domainname.compared(host)
        if host in self._hosts:
            return True
        names = _names(host)
        if not self._hosts.isdisjoint(names):
            return True
        return self._more is not None and any(self._more(name) for name in names)


def _names(host: bytes) -> list[bytes]:
    # The host, then what begins at each of its dots, longest first.
    names, at = [host] if host else [], host.find(b".", 1)
    while at >= 0:
        names.append(host[at:])
        at = host.find(b".", at + 1)
    return names
