"""Whether the certificates that a server has shown are what its TLSA records tell (RFC 7672 3)."""

from __future__ import annotations

from qmail.formats import certificate, tlsa
from qmail.rules.tlsneeds import DANE, MISMATCH, TLSA_INVALID, UNTRUSTED, Needs, Unmet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def verdict(needs: Needs, chain: Sequence[bytes]) -> Unmet | Needs | None:
    """None where `chain` (DER, the server's own first), shown in a handshake that met `needs`, is as it must be.

    Needs come back where the records tell who must have signed it: whether they have, a handshake shows that trusts
    just those.
    """
    if needs.level < DANE:
        return None
    if needs.anchors:
        return _named(needs.names, chain[0])
    if tlsa.tell(needs.records, chain[0]):
        return None
    anchors = tlsa.anchors(needs.records, chain[1:])
    return needs.anchored(anchors) if anchors else Unmet(TLSA_INVALID)


def _named(names: Sequence[bytes], own: bytes) -> Unmet | None:
    try:
        shown = certificate.read(own)
    except certificate.Broken:
        return Unmet(UNTRUSTED)
    return None if any(shown.covers(name) for name in names) else Unmet(MISMATCH)
