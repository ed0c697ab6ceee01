"""Whose sender addresses are whose: control/senders, for those who have logged in (qmail-smtpd(8)).

    user:address        user:@domain        user:*

Who has a line sends as what its lines say. Who has none sends as itself: as the address that it logs in as, or, logging
in as a mere name, as that name at one of our own domains, with an extension or without.
"""

from __future__ import annotations

from qmail.formats import domainname

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Senders = Mapping[bytes, "frozenset[bytes]"]


def table(lines: Iterable[bytes]) -> dict[bytes, frozenset[bytes]]:
    """What each user may send as, in lower case; a line without a colon is none."""
    found: dict[bytes, set[bytes]] = {}
    for line in lines:
        user, colon, address = line.partition(b":")
        if colon:
            found.setdefault(user.strip(), set()).add(domainname.compared_address(address.strip()))
    return {user: frozenset(addresses) for user, addresses in found.items()}


def may_send_as(senders: Senders, user: bytes, sender: bytes, is_ours: Callable[[bytes], bool]) -> bool:
    """May `user` send as `sender`? The empty sender, that of notices, is everybody's. `is_ours`: of an address."""
    if not sender:
        return True
    address = domainname.compared_address(sender)
    local, at, domain = address.rpartition(b"@")
    listed = senders.get(user)
    if listed is not None:
        return bool(listed & {address, b"@" + domain, b"*"})
    if b"@" in user:
        return address == domainname.compared_address(user)
    return bool(at) and (local == user.lower() or local.startswith(user.lower() + b"-")) and is_ours(sender)
