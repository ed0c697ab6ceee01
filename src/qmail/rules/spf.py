"""Whether a domain lets an address send in its name: SPF (RFC 7208), as its own keeper asks.

Macros are not expanded: a term that has one matches nothing, and says so in the outcome.
"""

from __future__ import annotations

from qmail.formats import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    class Dns(Protocol):
        """What the DNS knows, nothing where it knows nothing. Raises Unsure where nobody answers."""

        def texts(self, name: bytes) -> Sequence[bytes]:
            """TXT records."""

        def addresses(self, name: bytes) -> Sequence[bytes]:
            """Packed addresses of both families."""

        def exchangers(self, name: bytes) -> Sequence[bytes]:
            """Names of mail exchangers."""

        def names(self, address: bytes) -> Sequence[bytes]:
            """Names of a packed address."""


NONE, PASS, FAIL, SOFTFAIL, NEUTRAL, BROKEN = b"none", b"pass", b"fail", b"softfail", b"neutral", b"permerror"
VERSION = b"v=spf1"
MOST_LOOKUPS = 10  # terms that ask the DNS (4.6.4)
MOST_VOID = 2  # of them that find nothing
MOST_NAMES = 10  # exchangers, or names of an address, of one term
_QUALIFIERS = {b"+": PASS, b"-": FAIL, b"~": SOFTFAIL, b"?": NEUTRAL}


class Unsure(Exception):
    """No name server could say, or a macro would have to be expanded."""


class Mistake(Exception):
    """A record that everybody has to take for broken: why."""


def records(texts: Sequence[bytes]) -> list[bytes]:
    """Those TXT records of a name that are SPF's (4.5)."""
    return [text for text in texts if text.lower() == VERSION or text.lower().startswith(VERSION + b" ")]


def outcome(dns: Dns, domain: bytes, address: bytes) -> tuple[bytes, bytes]:
    """The result for mail from this packed address, and for BROKEN, why. Raises Unsure."""
    try:
        return _Examination(dns, address).of(domain), b""
    except Mistake as mistake:
        return BROKEN, mistake.args[0]


class _Examination:
    """Counts the lookups of one question, over all records that include each other."""

    def __init__(self, dns: Dns, address: bytes) -> None:
        self._dns, self._address = dns, address
        self._lookups = self._void = 0
        self._macros = False
        self._mechanisms: dict[bytes, Callable[[bytes, bytes], bool]] = {
            b"ip4": self._network, b"ip6": self._network, b"a": self._a, b"mx": self._mx, b"ptr": self._ptr,
            b"include": self._include, b"exists": self._exists,
        }  # fmt: skip

    def of(self, domain: bytes) -> bytes:
        found = self._record(domain)
        if found != PASS and self._macros:
            raise Unsure
        return found

    def _record(self, domain: bytes) -> bytes:
        found = records(self._dns.texts(domain))
        if not found:
            return NONE
        if len(found) > 1:
            raise Mistake(domain + b" has %d records, and one is allowed" % len(found))
        redirect = b""
        for term in found[0].split()[1:]:
            name, equals, value = term.partition(b"=")
            if equals and name.isalnum():
                redirect = value if name.lower() == b"redirect" else redirect
                continue
            verdict = self._term(term, domain)
            if verdict:
                return verdict
        if not redirect:
            return NEUTRAL
        self._count()
        verdict = self._record(self._named(redirect))
        if verdict == NONE:
            raise Mistake(b"redirect=" + redirect + b" leads to no record")
        return verdict

    def _term(self, term: bytes, domain: bytes) -> bytes:
        # What this mechanism decides, b"" where it does not match.
        qualifier = _QUALIFIERS.get(term[:1])
        word = term[1:] if qualifier else term
        name, value = _split(word)
        if name == b"all" and not value:
            return qualifier or PASS
        mechanism = self._mechanisms.get(name)
        if mechanism is None:
            raise Mistake(b"there is no mechanism `" + term + b"`")
        if b"%" in value:
            self._macros = True
            return b""
        return (qualifier or PASS) if mechanism(value, domain) else b""

    def _named(self, name: bytes) -> bytes:
        if b"%" in name:
            raise Unsure
        return name

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > MOST_LOOKUPS:
            raise Mistake(b"it takes more than %d lookups" % MOST_LOOKUPS)

    def _counted(self, found: Sequence[bytes]) -> Sequence[bytes]:
        self._void += not found
        if self._void > MOST_VOID:
            raise Mistake(b"more than %d of its lookups find nothing" % MOST_VOID)
        return found

    def _network(self, value: bytes, _domain: bytes) -> bool:
        known = ip.network(value.removeprefix(b":"))
        if known is None:
            raise Mistake(b"`" + value + b"` is no network")
        return known[0] == 8 * len(self._address) and _is_in(self._address, known[1], known[2])

    def _a(self, value: bytes, domain: bytes) -> bool:
        name, lengths = _prefixes(value)
        self._count()
        return self._is_one_of(self._counted(self._dns.addresses(name or domain)), lengths)

    def _mx(self, value: bytes, domain: bytes) -> bool:
        name, lengths = _prefixes(value)
        self._count()
        exchangers = self._counted(self._dns.exchangers(name or domain))
        if len(exchangers) > MOST_NAMES:
            raise Mistake(b"`mx` of more than %d exchangers" % MOST_NAMES)
        return any(self._is_one_of(self._dns.addresses(each), lengths) for each in exchangers)

    def _ptr(self, value: bytes, domain: bytes) -> bool:
        wanted = (value.removeprefix(b":") or domain).lower()
        self._count()
        return any(
            (name == wanted or name.endswith(b"." + wanted)) and self._address in self._dns.addresses(name)
            for name in self._counted(self._dns.names(self._address))[:MOST_NAMES]
        )

    def _include(self, value: bytes, _domain: bytes) -> bool:
        self._count()
        verdict = self._record(value.removeprefix(b":"))
        if verdict == NONE:
            raise Mistake(b"include" + value + b" leads to no record")
        return verdict == PASS

    def _exists(self, value: bytes, _domain: bytes) -> bool:
        self._count()
        return any(len(each) == 4 for each in self._counted(self._dns.addresses(value.removeprefix(b":"))))

    def _is_one_of(self, addresses: Sequence[bytes], lengths: tuple[int, int]) -> bool:
        length = lengths[len(self._address) == 16]
        return any(
            len(each) == len(self._address) and _is_in(self._address, int.from_bytes(each, "big"), length)
            for each in addresses
        )


def _split(word: bytes) -> tuple[bytes, bytes]:
    # A mechanism's name, and what stands behind it, with its `:` or `/`.
    ends = [at for mark in (b":", b"/") if (at := word.find(mark)) >= 0]
    at = min(ends, default=len(word))
    return word[:at].lower(), word[at:]


def _prefixes(value: bytes) -> tuple[bytes, tuple[int, int]]:
    # `:domain/24//64`, all of it optional.
    name, _, rest = value.partition(b"/")
    short, _, long = rest.partition(b"/")
    lengths = []
    for text, most in ((short, 32), (long.removeprefix(b"/"), 128)):
        if text and not (text.isdigit() and len(text) < 4 and int(text) <= most):
            raise Mistake(b"`" + value + b"` has a length that cannot be")
        lengths.append(int(text) if text else most)
    return name.removeprefix(b":"), (lengths[0], lengths[1])


def _is_in(address: bytes, network: int, length: int) -> bool:
    shift = 8 * len(address) - length
    return int.from_bytes(address, "big") >> shift == network >> shift
