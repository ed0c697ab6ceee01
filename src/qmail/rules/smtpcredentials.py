"""As whom to log in at the relays of control/smtproutes: control/smtpcredentials (qmail-remote(8)).

    relay:user:password         the relay as it stands in control/smtproutes, without its port

The name must be the relay's whole name; case makes no difference. The password is all that follows, colons too.
"""

from __future__ import annotations

from qmail.rules import hosttable
from qmail.rules.tlsneeds import ENCRYPT, LOCAL, VERIFY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qmail.rules.tlsneeds import Needs

    Credentials = Mapping[bytes, "tuple[bytes, bytes]"]


def table(lines: Iterable[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
    """Users and passwords by their relays, in lower case. A line that lacks one of them is none."""
    found: dict[bytes, tuple[bytes, bytes]] = {}
    for line in lines:
        bracket = line.find(b"]") + 1 if line.startswith(b"[") else 0
        rest, colon, words = line[bracket:].partition(b":")
        user, other, password = words.partition(b":")
        relay = (line[:bracket] + rest).strip().lower()
        if colon and other and relay and user and password:
            found.setdefault(relay, (user, password))
    return found


def needs(needs: Needs, policies: Mapping[bytes, int], relay: bytes) -> Needs:
    """What TLS a password needs on its way to this relay: VERIFY, where control/tlspolicy says no other word that
    demands TLS of the relay's own name.
    """
    level = hosttable.longest(policies, relay)
    return needs.raised(VERIFY if level is None or level < ENCRYPT else level, LOCAL)
