"""Who is at the other end of an SMTP session, as far as is known: by tcpserver, by TLS, and by its own words."""

from __future__ import annotations

from qmail.formats import received
from qmail.protocols import smtplocal, smtplogin, smtpxclient
from qmail.protocols.smtpsite import NEVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.protocols.smtpsite import Client, Submission
    from qmail.protocols.smtpxclient import Introduction
    from qmail.rules.completing import Completer


class Peer:
    """`client`: what tcpserver says, or a proxy. `greeted`: what it calls itself, None where that is the name we knew.
    `protocol`: what a Received line calls it; `tls`: may TLS begin (smtpsite).

    `number`: no other session of this second has it.
    """

    __slots__ = ("_messages", "_number", "client", "greeted", "protocol", "tls")

    def __init__(self, client: Client, number: bytes) -> None:
        self.client, self.protocol, self.tls = client, client.protocol, client.tls
        self.greeted: bytes | None = None
        self._number, self._messages = number, 0

    @property
    def language(self) -> bytes:
        """What the greeting says that is spoken."""
        return b"LMTP" if self.client.local else b"ESMTP"

    def command(self, verb: bytes) -> bytes:
        """The command of SMTP that is meant by this word, in lower case."""
        word = verb.lower()
        return smtplocal.command(word) if self.client.local else word

    def answers(self, recipients: Sequence[bytes]) -> int:
        """How many replies there are to a message for these recipients: in LMTP one for each (RFC 2033 4.2)."""
        return len(recipients) if self.client.local else 1

    @property
    def is_secured(self) -> bool:
        """Is there TLS?"""
        return self.protocol != b"SMTP"

    def greets(self, name: bytes) -> None:
        """HELO or EHLO."""
        self.greeted = None if name.lower() == self.client.origin.host.lower() else name

    def secured(self, protocol: bytes) -> None:
        """TLS is there. Nothing counts that was said before it (RFC 3207 4.2)."""
        self.tls, self.protocol, self.greeted = NEVER, protocol, None

    def logged_in(self) -> None:
        """It has said who it is."""
        self.protocol = self.protocol.replace(b"ESMTPS", b"ESMTPSA", 1)

    def introduces(self, argument: bytes) -> Introduction | None:
        """XCLIENT, by a client that may: from here on it is somebody else. None where it is not as it must be."""
        said = smtpxclient.introduction(argument)
        if said is None or self.client.successor is None or (said.user and self.client.login == smtplogin.NEVER):
            return None
        self.client, self.greeted = self.client.successor(said.variables), said.hello
        return said

    def trace(self, now: int, *, international: bool) -> bytes:
        """The Received field of a message of its. `now`: seconds since 1970; `international`: by SMTPUTF8."""
        protocol = smtplocal.protocol(self.protocol) if self.client.local else self.protocol
        protocol = received.international(protocol) if international else protocol
        return received.line(protocol, self.client.origin, self.greeted, now)

    def completer(self, submission: Submission | None, user: bytes, sender: bytes, now: int) -> Completer | None:
        """What completes the header of the next message, which `user` sends; None where nothing does."""
        if submission is None or submission.completion is None:
            return None
        self._messages += 1
        return submission.completion.message(user, sender, now, b"%b.%d" % (self._number, self._messages))
