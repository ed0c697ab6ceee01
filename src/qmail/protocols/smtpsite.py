"""What an SMTP session is held for: a site, as its control files say, and a client, as tcpserver says."""

from __future__ import annotations

from qmail.protocols import sasl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qmail.formats import received
    from qmail.rules.completing import Completion
    from qmail.rules.relay import Door


NEVER, OFFERED, FIRST = range(3)  # whether TLS may begin


class Unreadable(Exception):
    """What is needed to decide cannot be read now; a Site's door may raise it."""


class Submission:
    """What holds for clients that log in: the `mechanisms` of SASL; how their messages are completed, None where they
    are not; and whether qmail-authd counts what they send (`limited`).
    """

    __slots__ = ("completion", "limited", "mechanisms")

    def __init__(
        self,
        mechanisms: Sequence[bytes] = sasl.MECHANISMS,
        completion: Completion | None = None,
        *,
        limited: bool = False,
    ) -> None:
        self.mechanisms, self.completion, self.limited = mechanisms, completion, limited


class Site:
    """What the control files say: the same for every session until they change.

    `limit`: bytes of a message, 0 for no limit. `timeout`: seconds a client may keep us waiting. `owns`: may
    who has logged in as this send as that address? `extensions`: keywords that are announced (smtpextensions).
    `submission`: what it says may raise Unreadable.
    """

    __slots__ = ("door", "extensions", "greeting", "limit", "owns", "submission", "timeout")

    def __init__(
        self,
        greeting: bytes,
        door: Door,
        limit: int = 0,
        timeout: int = 1200,
        owns: Callable[[bytes, bytes], bool] = lambda _user, _sender: False,
        extensions: frozenset[bytes] = frozenset(),
        submission: Callable[[], Submission] = Submission,
    ) -> None:
        self.greeting, self.door, self.limit, self.timeout = greeting, door, limit, timeout
        self.owns, self.extensions, self.submission = owns, extensions, submission


class Client:
    """Who is at the other end, and what it may do: the variables that tcpserver has set (tcp-environ(5)).

    `relay`: appended to each recipient, which then may be anywhere; None where rcpthosts counts.
    `limit`: as that of a Site, which it replaces where it is not None.
    `protocol`: what a Received line calls it. `tls`: NEVER, OFFERED (STARTTLS), or FIRST, before the greeting.
    `login`: whether it may log in, or must (smtplogin.NEVER, OFFERED, DEMANDED). `surroundings`: what whoever is
    asked about recipients hears of it (protocols.recipients). `environ`: all of its variables. `successor`: who it
    says that it speaks for, by variables (None: those that go); None where it may not say so (smtpxclient). `local`: it
    speaks LMTP. `carried`: parameters of MAIL and RCPT reach the queue.
    """

    __slots__ = (
        "carried", "environ", "limit", "local", "login", "origin", "protocol", "relay", "successor", "surroundings",
        "tls",
    )  # fmt: skip

    def __init__(
        self,
        origin: received.Origin,
        relay: bytes | None = None,
        limit: int | None = None,
        *,
        protocol: bytes = b"SMTP",
        tls: int = NEVER,
        login: int = NEVER,
        surroundings: bytes = b"",
        environ: Mapping[bytes, bytes] | None = None,
        carried: bool = True,
        successor: Callable[[Mapping[bytes, bytes | None]], Client] | None = None,
        local: bool = False,
    ) -> None:
        self.origin, self.relay, self.limit = origin, relay, limit
        self.protocol, self.tls, self.login, self.surroundings = protocol, tls, login, surroundings
        self.environ: Mapping[bytes, bytes] = environ or {}
        self.successor, self.local, self.carried = successor, local, carried
