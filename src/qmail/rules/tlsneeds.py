"""What TLS a delivery needs, who says so, and what is to be told where it cannot be had.

Decided before a connection is made, by one source after the other. Each takes the needs so far, and gives them back
as they are, or `raised`:

    of the message      REQUIRETLS, RFC 8689 (programs/deliver/qmail_remote.py)
    of the domain       control/tlspolicy (rules/tlspolicy.py), its own policy, RFC 8461 (rules/stsneeds.py)
    of the exchanger    its TLSA records, RFC 7672 (stores/tlsarecords.py)

A source does not ask where the needs are `settled`, and never weakens what was said before it.
"""

from __future__ import annotations

from qmail.formats import certificate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Levels. NONE: no TLS. MAY: TLS if it is offered. ENCRYPT: TLS, whoever the server is. VERIFY: with a certificate for
# its name that this system trusts. DANE: with one that its TLSA records tell.
NONE, MAY, ENCRYPT, VERIFY, DANE = range(5)

# Who says so. Those of RFC 8460 4.4 have its words.
NOBODY, LOCAL, TLSA, STS = b"no-policy-found", b"tlspolicy", b"tlsa", b"sts"
MESSAGE = b"requiretls"

# What went wrong, in the words of RFC 8460 4.3.
NO_STARTTLS, FAILED = b"starttls-not-supported", b"validation-failure"
MISMATCH, EXPIRED, UNTRUSTED = b"certificate-host-mismatch", b"certificate-expired", b"certificate-not-trusted"
TLSA_INVALID, DNSSEC_INVALID, DANE_REQUIRED = b"tlsa-invalid", b"dnssec-invalid", b"dane-required"
NO_REQUIRETLS = b"requiretls-not-supported"  # which RFC 8460 does not know
UNPROVEN, UNSURE = b"requiretls-exchanger-unproven", b"requiretls-policy-unknown"  # the same
_WORDS = {
    UNPROVEN: b"neither DNSSEC nor a policy (MTA-STS) vouches for it. REQUIRETLS support required",
    UNSURE: b"nobody can say now whether a policy (MTA-STS) vouches for it. REQUIRETLS support required",
    NO_REQUIRETLS: b"it does not offer to keep the message in TLS. REQUIRETLS support required",
    NO_STARTTLS: b"it does not offer TLS, which mail to it must have",
    FAILED: b"TLS could not be agreed on",
    MISMATCH: b"TLS could not be agreed on: its certificate is for another host",
    EXPIRED: b"TLS could not be agreed on: its certificate has expired",
    UNTRUSTED: b"TLS could not be agreed on: nobody whom this system trusts has signed its certificate",
    TLSA_INVALID: b"TLS could not be agreed on: its certificate is not the one that its TLSA records tell",
    DNSSEC_INVALID: b"its TLSA records could not be looked up, and mail must not go to it without them",
    DANE_REQUIRED: b"it has no TLSA records that DNSSEC vouches for, which mail to it must have",
}


class Unmet:
    """Why the needs are not met: `result`, a word of RFC 8460 4.3, and what there is to say for people."""

    __slots__ = ("result", "words")

    def __init__(self, result: bytes, words: bytes = b"") -> None:
        self.result, self.words = result, words or _WORDS[result]


class Needs:
    """What TLS mail to a domain, or to one exchanger of it, must have.

    `level`: see above. `origin`: who says so. `settled`: nobody else is to be asked.
    At DANE: `records`, TLSA records that count (formats/tlsa.py); `names`, the server's and others that a certificate
    may be for, where names matter; `anchors`, certificates (DER) of which one must have signed it, once they were seen.
    `exchangers`: the names that the domain's exchangers may have, perhaps with `*` for the first label (None: any).
    `trial`: a certificate is looked at as at VERIFY, and where it is not good mail goes all the same.
    `final`: the message has REQUIRETLS (RFC 8689): somebody must vouch for the exchanger, the server must say that it
    keeps that, and where needs are not met the message comes back, and does not wait. `unmet`: why nothing may go to
    this exchanger, known before it was connected to.
    """

    __slots__ = ("anchors", "exchangers", "final", "level", "names", "origin", "records", "settled", "trial", "unmet")

    def __init__(self, level: int, origin: bytes = NOBODY, *, settled: bool = False) -> None:
        self.level, self.origin, self.settled = level, origin, settled
        self.names: Sequence[bytes] = ()
        self.records: Sequence[bytes] = ()
        self.anchors: Sequence[bytes] = ()
        self.exchangers: Sequence[bytes] | None = None
        self.trial = False
        self.final = False
        self.unmet: Unmet | None = None

    def raised(self, level: int, origin: bytes) -> Needs:
        """A copy that needs at least `level`; where that is more than before, `origin` is who says so."""
        copy = Needs(max(level, self.level), origin if level > self.level else self.origin, settled=self.settled)
        copy.names, copy.records, copy.anchors = self.names, self.records, self.anchors
        copy.exchangers, copy.trial, copy.final, copy.unmet = self.exchangers, self.trial, self.final, self.unmet
        return copy

    def trying(self, trial: bool) -> Needs:
        """A copy for which a certificate is looked at that does not matter, or (False) no more."""
        copy = self.raised(self.level, self.origin)
        copy.trial = trial
        return copy

    @property
    def verifies(self) -> bool:
        """Is a certificate looked at for whether this system trusts it?"""
        return self.level == VERIFY or (self.trial and self.level < VERIFY)

    def told(self, records: Sequence[bytes], names: Sequence[bytes]) -> Needs:
        """A copy for an exchanger with TLSA records: those of them that count tell its certificate (RFC 7672 2.2).

        With none that counts it needs TLS, and no certificate, unless more was needed before.
        """
        if not records:
            copy = self.raised(ENCRYPT, TLSA)
        else:
            copy = self.raised(DANE, TLSA)
            copy.origin, copy.records, copy.names = TLSA, records, names
        return copy

    def anchored(self, anchors: Sequence[bytes]) -> Needs:
        """A copy for a connection to the same exchanger, where one of these certificates must have signed its own."""
        copy = self.raised(DANE, TLSA)
        copy.anchors = anchors
        return copy

    def required(self) -> Needs:
        """A copy for a message with REQUIRETLS."""
        copy = self.raised(VERIFY, MESSAGE)
        copy.final, copy.trial = True, False
        return copy

    def alone(self) -> Needs:
        """A copy for which nobody else is asked."""
        copy = self.raised(self.level, self.origin)
        copy.settled = True
        return copy

    def without_tls(self) -> Needs:
        """A copy for a connection without TLS, after TLS failed that was not needed."""
        copy = Needs(NONE, self.origin, settled=self.settled)
        copy.exchangers = self.exchangers
        return copy

    def failing(self, origin: bytes, unmet: Unmet) -> Needs:
        """A copy that says, in the name of `origin`, that this exchanger cannot meet them."""
        copy = self.raised(ENCRYPT, origin)
        copy.origin, copy.unmet = origin, unmet
        return copy

    def admit(self, exchanger: bytes) -> bool:
        """May mail go to an exchanger of this name?"""
        return self.exchangers is None or certificate.covers(self.exchangers, exchanger)

    def met_by(self, other: Needs, *, secured: bool, exchanger: bytes) -> bool:
        """May mail with these needs, of its domain, go by a session that has met `other`, with TLS or without?"""
        if other.level < DANE and not self.admit(exchanger):
            return False  # with TLSA records it may have any name
        if self.level == NONE:
            return not secured
        if other.settled and not self.settled:
            return False  # nobody has asked what this exchanger's records say
        return self.level == MAY or (secured and other.level >= self.level)


WAIVED = (TLSA, STS)  # whose demands a sender may waive: not those of this system's own control files


def waived(header: bytes) -> bool:
    """Does a header say that the message may rather go without TLS than not at all (RFC 8689 4.1, 5)?"""
    fields = [line.partition(b":") for line in header.split(b"\n")]
    values = [value.strip().lower() for name, _, value in fields if name.rstrip().lower() == b"tls-required"]
    return values == [b"no"]


def report(partner: bytes, unmet: Unmet, *, final: bool, said: bytes = b"") -> bytes:
    """The record of a delivery that ends since TLS is not as it must be: Z, or D where that is `final`.

    5.7.30 is REQUIRETLS support required (RFC 8689 4.2.1). `partner`: who it is about;
    `said`: a line with the server's own words, if it had any.
    """
    # Without an answer about its records nobody knows that it cannot meet them.
    final = final and unmet.result not in (DNSSEC_INVALID, UNSURE)
    letter, status = (b"D", b"#5.7.30") if final else (b"Z", b"#4.7.5")
    return letter + partner + b" but " + unmet.words + b". (" + status + b")\n" + said
