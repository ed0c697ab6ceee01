"""TLSA records (RFC 6698 2.1), as far as they count for mail (RFC 7672 3): which certificates they tell.

    usage (1 byte)  selector (1)  matching type (1)  data

A record of usage 3 (DANE-EE) tells the server's own certificate, one of usage 2 (DANE-TA) a certificate that has signed
it, by itself or through others. Selector 0 is the whole certificate, 1 its public key; matching type 0 means the bytes
themselves, 1 and 2 their SHA-256 and SHA-512. Usages 0 and 1 mean nothing in mail (RFC 7672 3.1.3).
"""

from __future__ import annotations

from qmail.formats import certificate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TA, EE = 2, 3
CERTIFICATE, KEY = 0, 1
BYTES, SHA256, SHA512 = 0, 1, 2
MOST = 100  # records of one host; nobody has so many
_LENGTHS = {SHA256: 32, SHA512: 64}


def usable(records: Iterable[bytes]) -> list[bytes]:
    """The records that count, at most MOST; of digests of the same thing only the strongest kind (RFC 7671 9)."""
    fit = [each for each in records if _is_usable(each)][:MOST]
    strongest: dict[bytes, int] = {}
    for each in fit:
        strongest[each[:2]] = max(strongest.get(each[:2], 0), each[2])
    return [each for each in fit if each[2] in (BYTES, strongest[each[:2]])]


def tell(records: Iterable[bytes], own: bytes) -> bool:
    """Does one of these usable records tell this server's own certificate (DER)?

    Then its names and its dates do not matter (RFC 7672 3.1.1).
    """
    return any(each[0] == EE and _fits(each, own) for each in records)


def anchors(records: Sequence[bytes], chain: Iterable[bytes]) -> list[bytes]:
    """The certificates (DER) of those that a server has shown beside its own, which these usable records tell.

    One of them must have signed the server's certificate (RFC 7672 3.1.2).
    """
    return [shown for shown in chain if any(each[0] == TA and _fits(each, shown) for each in records)]


def kind(record: bytes) -> bytes:
    """How people call a usable record: `3 1 1`, its usage, selector and matching type."""
    return b"%d %d %d" % (record[0], record[1], record[2])


def _is_usable(record: bytes) -> bool:
    if len(record) < 4 or record[0] not in (TA, EE) or record[1] not in (CERTIFICATE, KEY):
        return False
    return record[2] == BYTES or _LENGTHS.get(record[2]) == len(record) - 3


def _fits(record: bytes, shown: bytes) -> bool:
    import hashlib  # here: most programs that know of TLSA records never see a certificate

    try:
        told = certificate.read(shown).key if record[1] == KEY else shown
    except certificate.Broken:
        return False
    if record[2] == BYTES:
        return record[3:] == told
    return record[3:] == (hashlib.sha256 if record[2] == SHA256 else hashlib.sha512)(told).digest()
