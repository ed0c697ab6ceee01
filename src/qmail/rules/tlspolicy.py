"""Whether mail to a domain goes by TLS: control/tlspolicy (qmail-remote(8)).

    domain:may        if the server offers it, and else without (RFC 7435), whatever its TLSA records say
    domain:encrypt    by TLS or not at all, whoever the server is
    domain:verify     by TLS, and with a certificate for the exchanger's name that this system trusts
    domain:dane       by TLS, and with a certificate that the exchanger's TLSA records tell (RFC 7672)
    domain:none       without TLS

The longest name that fits wins, as in control/smtproutes: `.example.com` is every host below, an empty name everybody.
Where no line fits, TLS is used if the server offers it. Exchangers with TLSA records must have TLS and a certificate
that these tell, also there, and where a line says `encrypt` or `verify`.
"""

from __future__ import annotations

from qmail.rules import hosttable
from qmail.rules.tlsneeds import DANE, ENCRYPT, LOCAL, MAY, NONE, VERIFY, Needs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WORDS = {b"none": NONE, b"may": MAY, b"encrypt": ENCRYPT, b"verify": VERIFY, b"dane": DANE}


def table(lines: Iterable[bytes]) -> dict[bytes, int]:
    """Names in lower case to levels. A word that is none of these counts as `verify`: a mistake must not weaken."""
    return {name: _WORDS.get(word.strip().lower(), VERIFY) for name, word in hosttable.table(lines).items()}


def needs(policies: Mapping[bytes, int], host: bytes) -> Needs:
    """What mail to `host` needs by the lines of this file."""
    found = hosttable.longest(policies, host)
    return Needs(MAY) if found is None else Needs(found, LOCAL, settled=found <= MAY)
