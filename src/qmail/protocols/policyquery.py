"""The talk with qmail-stsd, on the packet socket qr/sts: a domain in each packet, and an answer to each, in order.

    P  and the text of the domain's policy (formats/mtasts)
    N  the domain has none
    F  it announces one that cannot be had; and why, a failure type of RFC 8460 4.3
    Z  nobody can say yet; and why, or nothing: whoever asks again later may be told

Domains are in lower case without a dot at the end.
"""

from __future__ import annotations

from qmail.formats import mtasts

FOUND, NOTHING, FAILED, UNSURE = b"P", b"N", b"F", b"Z"
LONGEST_QUESTION = 255  # bytes
LONGEST_ANSWER = mtasts.LARGEST + 1

# Why there is no policy (RFC 8460 4.3.2.2).
FETCHING, CERTIFICATE, INVALID = b"sts-policy-fetch-error", b"sts-webpki-invalid", b"sts-policy-invalid"
FAILURES = frozenset((FETCHING, CERTIFICATE, INVALID))


class Answer:
    """What is known of a domain: its policy, or why there is none (b"": it has none). `lasting`: until it changes."""

    __slots__ = ("failure", "lasting", "policy")

    def __init__(self, policy: mtasts.Policy | None = None, failure: bytes = b"", *, lasting: bool = True) -> None:
        self.policy, self.failure, self.lasting = policy, failure, lasting


def parse(packet: bytes) -> Answer:
    """Read an answer. What makes no sense is a domain without a policy."""
    if packet[:1] == FOUND:
        try:
            return Answer(mtasts.policy(packet[1:]))
        except mtasts.Broken:
            return Answer(failure=INVALID)
    lasting = packet[:1] != UNSURE
    if packet[:1] in (FAILED, UNSURE) and packet[1:] in FAILURES:
        return Answer(failure=packet[1:], lasting=lasting)
    return Answer(lasting=lasting)
