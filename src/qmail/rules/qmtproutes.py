"""Which mail goes by QMTP, and where: control/qmtproutes (qmail-remote(8)).

    domain:relay               by QMTP, port 209
    domain:relay:port          QMTP with TLS from the first byte (QMTPS) where the port is 6209
    domain:relay:port tls      the same at any port
    domain:                    by SMTP, as if no line did fit

Names fit as in control/smtproutes.
"""

from __future__ import annotations

from qmail.rules import hosttable, smtproutes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.rules.smtproutes import Route

QMTP, QMTPS = 209, 6209


def route(routes: Mapping[bytes, bytes], host: bytes) -> Route | None:
    """Where to send what is for `host` by QMTP; None: it goes by SMTP. `routes`: of hosttable.table."""
    found = hosttable.longest(routes, host)
    if not found or not found.strip():
        return None
    way = smtproutes.relay(found, QMTP)
    way.qmtp, way.tls = True, way.port == QMTPS or b"tls" in found.lower().split()[1:]
    return way
