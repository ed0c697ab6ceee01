"""Short host names made whole by rewriting rules, as in /etc/dnsrewrite (djbdns, qualification).

    =NAME:TO      the name NAME becomes TO
    *END:TO       END at the end of a name becomes TO
    ?END:TO       the same where nothing in front of it has a dot or a bracket
    -END:TO       a name with END at its end becomes TO

The rules are applied one after the other, each to what the earlier ones made. A `+` in the result separates
what is to be tried: `h+.a.org+.b.org` is h.a.org, then h.b.org.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 32  # names to be tried for one


def search(domains: Sequence[bytes]) -> list[bytes]:
    """The rules that a search list means: a name without a dot is tried in each domain, a dot at the end goes."""
    return [b"?:" + b"".join(b"+." + domain for domain in domains), b"*.:"]


def candidates(name: bytes, rules: Sequence[bytes]) -> list[bytes]:
    """The names to look up for `name`, in order."""
    for rule in rules:
        name = _applied(name, rule)
    first, *ends = name.split(b"+")
    return [first + end for end in ends[:MOST]] or [first]


def literal(name: bytes) -> list[bytes] | None:
    """The IPv4 addresses that a name of digits, dots and brackets is itself; None for any other name.

    `1.2.3.4` is one address, `1.2.3.4.5.6.7.8` are two, `1.2.3` is none.
    """
    text = name.translate(None, b"[]")
    if text.strip(b"0123456789."):
        return None
    octets = [part.lstrip(b"0") or b"0" for part in text.split(b".")]
    if any(len(octet) > 3 or int(octet) > 255 for octet in octets):
        return []
    return [b".".join(octets[i : i + 4]) for i in range(0, len(octets) - 3, 4)]


def _applied(name: bytes, rule: bytes) -> bytes:
    kind, (end, colon, to) = rule[:1], rule[1:].partition(b":")
    if kind not in (b"=", b"*", b"?", b"-") or not colon or not name.lower().endswith(end.lower()):
        return name
    before = name[: len(name) - len(end)]
    if (kind == b"=" and before) or (kind == b"?" and any(byte in before for byte in b".[]")):
        return name
    return to if kind == b"-" else before + to
