"""What TLS mail to a domain needs by the domain's own policy (MTA-STS, RFC 8461), and what reports say of a session.

    enforce    to an exchanger that the policy names, by TLS, with a certificate for its name that this system trusts
    testing    as if there were no policy, but the same is tried first, so that it can be reported
    none       nothing

Where an exchanger has TLSA records, these count instead (RFC 8461 2). A line in control/tlspolicy that is weaker than
`encrypt` settles it before.
"""

from __future__ import annotations

import binascii

from qmail.formats import certificate, mtasts
from qmail.formats.tlscount import Session
from qmail.rules.tlsneeds import (
    DANE,
    FAILED,
    MISMATCH,
    NO_REQUIRETLS,
    NO_STARTTLS,
    NOBODY,
    STS,
    TLSA,
    VERIFY,
    Needs,
    Unmet,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.mtasts import Policy

_UNNAMED = b"the policy (MTA-STS) of the domain does not name it"


def needs(before: Needs, policy: Policy | None) -> Needs:
    """What mail to a domain needs, `before` it was known that it has this policy."""
    if policy is None or before.settled or before.level == DANE:
        return before
    if policy.mode == mtasts.ENFORCE:
        copy = before.raised(VERIFY, STS)
        copy.exchangers = policy.patterns
        return copy
    return before.trying(True) if policy.mode == mtasts.TESTING else before


def at_exchanger(before: Needs, name: bytes) -> Needs:
    """What TLS there must be at an exchanger of this name, where its TLSA records were asked for `before`."""
    if before.level == DANE or before.admit(name):
        return before
    return before.failing(STS, Unmet(MISMATCH, _UNNAMED))


def session(
    domain: bytes, needs: Needs, policy: Policy | None, failure: bytes, exchanger: bytes, result: bytes
) -> Session | None:
    """What reports say of a session with an exchanger; None where it says nothing of the domain.

    `policy`, `failure`: the domain's policy, or why it has none (RFC 8460 4.3.2.2). `result`: what went wrong (RFC 8460
    4.3), or b"".
    """
    if result == NO_REQUIRETLS:
        result = b""  # there was TLS
    if needs.origin == TLSA:
        return Session(domain, TLSA, [_told(record) for record in needs.records], result, exchanger)
    if policy is not None and policy.mode != mtasts.NONE:
        if not certificate.covers(policy.patterns, exchanger):
            result = result or MISMATCH
        return Session(domain, STS, policy.lines, result, exchanger)
    if failure:
        return Session(domain, STS, (), failure, exchanger)
    # Who has no policy promises no certificate: that was asked for here.
    return Session(domain, NOBODY, (), result, exchanger) if result in (b"", NO_STARTTLS, FAILED) else None


def _told(record: bytes) -> bytes:
    return b"%d %d %d %b" % (*record[:3], binascii.b2a_hex(record[3:]))
