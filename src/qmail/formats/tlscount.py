"""A line about one session with another host: under which policy it was, and how it ended (RFC 8460 4.3).

    DOMAIN TAB KIND TAB RESULT TAB EXCHANGER TAB ADDRESS TAB OUR-ADDRESS [TAB POLICY-LINE]...

KIND is `sts`, `tlsa` or `no-policy-found`; RESULT is empty where the session had the TLS that it should have, and
else a failure type, and only then EXCHANGER, ADDRESS and OUR-ADDRESS are there. The policy is as reports quote it. In
the file of a day a number and a TAB stand before each line: how many sessions there were of that kind.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KINDS = frozenset((b"sts", b"tlsa", b"no-policy-found"))
LONGEST = 4096  # bytes of a line
_PRINTABLE = bytes(range(33, 127))
_OF_RESULTS = b"abcdefghijklmnopqrstuvwxyz0123456789-"


class Broken(ValueError):
    """This is no such line."""


class Session:
    """A session, or all that are alike."""

    __slots__ = ("address", "domain", "exchanger", "kind", "ours", "policy", "result")

    def __init__(
        self,
        domain: bytes,
        kind: bytes,
        policy: Sequence[bytes] = (),
        result: bytes = b"",
        exchanger: bytes = b"",
        address: bytes = b"",
        ours: bytes = b"",
    ) -> None:
        self.domain, self.kind, self.policy, self.result = domain, kind, policy, result
        self.exchanger, self.address, self.ours = exchanger, address, ours


def line(session: Session) -> bytes:
    """The line, without its end. Of a policy that is too long the last lines are left out. Raises Broken."""
    details = (session.exchanger, session.address, session.ours) if session.result else (b"", b"", b"")
    found = b"\t".join((session.domain.lower(), session.kind, session.result, *details))
    for text in session.policy:
        if len(found) + len(text) + 1 > LONGEST:
            break
        found += b"\t" + text
    return checked(found)


def checked(text: bytes) -> bytes:
    """The same line, where it is one. Raises Broken."""
    if not _is_session(text):
        raise Broken("no session")
    return text


def session(text: bytes) -> Session:
    """What a line says. Raises Broken."""
    domain, kind, result, exchanger, address, ours, *policy = checked(text).split(b"\t")
    return Session(domain, kind, policy, result, exchanger, address, ours)


def coarse(text: bytes) -> bytes:
    """The line of a session that is told of with less detail."""
    one = session(text)
    return line(Session(one.domain, one.kind, one.policy, one.result))


def day(counts: Iterable[tuple[bytes, int]]) -> bytes:
    """The file of a day."""
    return b"".join([b"%d\t%b\n" % (count, text) for text, count in counts])


def counts(text: bytes) -> dict[bytes, int]:
    """The lines of the file of a day, and how many sessions each stands for. What is no such line is passed over."""
    found: dict[bytes, int] = {}
    for row in text.split(b"\n"):
        number, _, rest = row.partition(b"\t")
        if number.isdigit() and len(number) <= 18 and _is_session(rest):
            found[rest] = found.get(rest, 0) + int(number)
    return found


def _is_session(text: bytes) -> bool:
    if len(text) > LONGEST or text.count(b"\t") < 5:
        return False
    domain, kind, result, exchanger, address, ours, *policy = text.split(b"\t")
    words = (domain, exchanger, address, ours)
    return (
        domain != b""
        and kind in KINDS
        and len(result) <= 64
        and not result.translate(None, _OF_RESULTS)
        and max(map(len, words)) <= 255
        and not b"".join(words).translate(None, _PRINTABLE)
        and not b"".join(policy).translate(None, _PRINTABLE + b" ")
    )
