"""TLS in front of a connection to another host, as strict as mail to it must have it."""

from __future__ import annotations

from qmail.rules import tlsproof
from qmail.rules.tlsneeds import Needs, Unmet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.host.connect import Connection
    from qmail.host.tlsclient import Secured


def secured(plain: Connection, needs: Needs, name: bytes, trusted: bytes, seconds: int) -> Secured | Needs | Unmet:
    """The connection with TLS in front of it; what to try instead on another one; or why it is not to be used.

    `name`: the server's; `trusted`: a file of certificates that sign others, beside those of the system.
    """
    from qmail.host.tlsclient import Secured, failure

    try:
        told = needs.names[0] if needs.names else name
        connection = Secured(plain, told, trusted if needs.verifies else None, needs.anchors)
        connection.shake_hands(seconds)
        return tlsproof.verdict(needs, connection.chain()) or connection
    except OSError as error:
        return Unmet(failure(error))
