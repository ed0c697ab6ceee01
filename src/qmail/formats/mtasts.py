"""MTA-STS: a domain's policy on TLS for its mail (RFC 8461), its announcement in the DNS, and what it says of a host.

_mta-sts.example.org  TXT  "v=STSv1; id=20261126T000000;"

version: STSv1
mode: enforce                  or testing, or none
mx: mail.example.org           one label in front of the rest may be a star: *.example.net
max_age: 604800                seconds
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ENFORCE, TESTING, NONE = b"enforce", b"testing", b"none"
LARGEST = 64 * 1024  # bytes of a policy
LONGEST_AGE = 31_557_600  # seconds: a year, the most that RFC 8461 3.2 allows
MOST_PATTERNS = 500  # mx lines

_LONGEST_DOMAIN = 253 - len("mta-sts.")  # the name that the policy is fetched from is one too
_BLANKS = b" \t"
_DIGITS = b"0123456789"
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_OF_LABELS = _LETTERS + _DIGITS + b"-"
_OF_FIELDS = _LETTERS + _LETTERS.upper() + _DIGITS + b"_.-"


class Broken(ValueError):
    """This is no policy."""


class Policy:
    """A policy: `mode` is ENFORCE, TESTING or NONE, `patterns` the names of its exchangers in lower case, perhaps with
    `*` for the first label (formats/certificate.covers), `max_age` how many seconds it holds from when it was fetched.
    """

    __slots__ = ("max_age", "mode", "patterns")

    def __init__(self, mode: bytes, patterns: Sequence[bytes], max_age: int) -> None:
        self.mode, self.patterns, self.max_age = mode, tuple(patterns), max_age

    @property
    def lines(self) -> list[bytes]:
        """The policy as reports about it quote it (RFC 8460 4.4, policy-string)."""
        patterns = [b"mx: " + each for each in self.patterns]
        return [b"version: STSv1", b"mode: " + self.mode, *patterns, b"max_age: %d" % self.max_age]


def is_domain(name: bytes) -> bool:
    """Can a domain of this name (in lower case) have a policy? It may then be the name of a file, too."""
    return len(name) <= _LONGEST_DOMAIN and _is_name(name)


def announced(records: Iterable[bytes]) -> bytes | None:
    """The id that the TXT records of _mta-sts.DOMAIN announce; None where there is no policy (RFC 8461 3.1)."""
    found = []
    for record in records:
        version, semicolon, rest = record.partition(b";")
        if semicolon and version.rstrip(_BLANKS) == b"v=STSv1":
            found.append(rest)
    if len(found) != 1:
        return None
    for field in found[0].split(b";"):
        name, _, value = field.strip(_BLANKS).partition(b"=")
        if name == b"id":
            return value if len(value) <= 32 and value.isalnum() else None
    return None


def policy(text: bytes) -> Policy:
    """Read a policy (RFC 8461 3.2). Raises Broken. Fields that nobody knows, and repeated ones, count for nothing."""
    if len(text) > LARGEST:
        raise Broken("larger than 64 KiB")
    fields: dict[bytes, bytes] = {}
    patterns: dict[bytes, None] = {}
    for line in text.split(b"\n"):
        line = line.removesuffix(b"\r").rstrip(_BLANKS)
        if not line:
            continue
        name, colon, value = line.partition(b":")
        name, value = name.rstrip(_BLANKS), value.lstrip(_BLANKS)
        if not colon or not 0 < len(name) <= 32 or name.translate(None, _OF_FIELDS) or not name[:1].isalnum():
            raise Broken("a line that is no field")
        if name == b"mx":
            patterns[_pattern(value)] = None
        else:
            fields.setdefault(name, value)
    if fields.get(b"version") != b"STSv1":
        raise Broken("another version, or none")
    mode, age = fields.get(b"mode", b""), fields.get(b"max_age", b"")
    if mode not in (ENFORCE, TESTING, NONE):
        raise Broken("a mode that is none")
    if len(age) > 10 or not age.isdigit():
        raise Broken("no max_age")
    if len(patterns) > MOST_PATTERNS or (mode != NONE and not patterns):
        raise Broken("too many mx, or none")
    return Policy(mode, tuple(patterns), min(int(age), LONGEST_AGE))


def _pattern(text: bytes) -> bytes:
    name = text.lower()
    if len(name) > 255 or not _is_name(name.removeprefix(b"*.")):
        raise Broken("an mx that is no name")
    return name


def _is_name(name: bytes) -> bool:
    """Two labels or more, of letters, digits and hyphens (RFC 5321 4.1.2)."""
    labels = name.split(b".")
    return len(labels) > 1 and all(
        0 < len(label) < 64 and not label.translate(None, _OF_LABELS) and label.strip(b"-") == label for label in labels
    )
