"""The envelope of an SMTP transaction (RFC 5321 3.3): what MAIL and RCPT say, and what is answered to them."""

from __future__ import annotations

from qmail.formats import domainname
from qmail.protocols import recipients, smtplogin, smtpparameters, smtppath
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpextensions import UTF8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.formats import mailparameters
    from qmail.protocols.smtpparameters import Parameters, Terms
    from qmail.protocols.smtpsite import Client, Site

LARGEST_RECIPIENTS = 1 << 21  # bytes of all recipients of a message
COST_OF_RECIPIENT = 64  # bytes that the memory of each takes besides its own
COST_OF_PARAMETER = 256  # the same of each of its parameters
MOST_UNKNOWN = 20  # recipients that a client may name in a session and that are unknown


class Envelope:
    """The transaction of a session, one after the other.

    `begun`: MAIL has been said. `sender`, `recipients`: addresses, as the queue is to have them. `parameters`: those
    of MAIL; `wishes`: those of each recipient. `asked`: the recipient that is to be looked up. `relay`: appended to
    each recipient, which then may be anywhere; None where rcpthosts counts.
    """

    __slots__ = (
        "_asked_for", "_barred", "_client", "_room", "_site", "_strangers",
        "asked", "begun", "parameters", "recipients", "relay", "sender", "wishes",
    )  # fmt: skip

    def __init__(self, site: Site, client: Client) -> None:
        self._site, self._client, self.relay = site, client, client.relay
        self._strangers = 0
        self._barred = self.begun = False
        self.sender = self.asked = b""
        self.parameters = self._asked_for = smtpparameters.NONE
        self.forget()

    @property
    def incomplete(self) -> bytes:
        """The reply to a message that comes too early, or b""."""
        if not self.begun:
            return reply.WANT_MAIL
        return b"" if self.recipients else reply.WANT_RCPT

    @property
    def is_international(self) -> bool:
        """May addresses and header be in UTF-8 (RFC 6531)?"""
        return UTF8 in self.parameters

    @property
    def besides(self) -> mailparameters.Parameters | None:
        """What goes with sender and recipients into the queue."""
        if not self.parameters and not any(self.wishes):
            return None
        return smtpparameters.besides(self.parameters, zip(self.recipients, self.wishes, strict=True))

    def forget(self) -> None:
        """There is no transaction."""
        self.begun = False
        # New ones, since the queue's side may still hold the old.
        self.recipients: list[bytes] = []
        self.wishes: list[Parameters] = []
        self._room = LARGEST_RECIPIENTS

    def mail(self, argument: bytes, user: bytes, terms: Callable[[], Terms]) -> bytes:
        """MAIL, by whoever has logged in as `user`; b"" is nobody. Returns the reply."""
        path = smtppath.parse(argument, self._site.door.readdressed)
        if path is None:
            return reply.SYNTAX
        sender, words = path
        parameters = smtpparameters.read(words, smtpparameters.MAIL, terms()) if words else smtpparameters.NONE
        if isinstance(parameters, bytes):
            return parameters
        if refusal := _language(sender, parameters, terms):
            return refusal
        if user and not self._site.owns(user, sender):
            return reply.NOT_YOURS
        if not user and self._client.login == smtplogin.DEMANDED:
            return reply.WANT_LOGIN
        self.forget()
        self.sender, self.parameters, self.begun = sender, parameters, True
        self._barred = self._site.door.blames(sender)
        return reply.OK

    def rcpt(self, argument: bytes, terms: Callable[[], Terms]) -> bytes:
        """RCPT. Returns the reply, or b"" where `asked` is to be looked up. Raises Unreadable."""
        if not self.begun:
            return reply.WANT_MAIL
        door = self._site.door
        path = smtppath.parse(argument, door.readdressed)
        if path is None:
            return reply.SYNTAX
        if self._barred:
            return reply.BAD_SENDER
        recipient, words = path
        if refusal := _language(recipient, self.parameters, terms):
            return refusal
        if self.relay is not None:
            recipient += self.relay
        elif not door.accepts(recipient):
            return reply.NO_GATEWAY
        parameters = smtpparameters.read(words, smtpparameters.RCPT, terms()) if words else smtpparameters.NONE
        if isinstance(parameters, bytes):
            return parameters
        if self._strangers >= MOST_UNKNOWN and self.relay is None and not self._client.local:
            # A harvester learns no more. A message that has recipients may come: its sender repeats the others.
            return reply.TOO_MANY_UNKNOWN if self.recipients else reply.HARVESTING
        self._room -= len(recipient) + COST_OF_RECIPIENT + sum(COST_OF_PARAMETER + len(word) for word in words)
        if self._room < 0:
            return reply.TOO_MANY
        self.asked, self._asked_for = recipient, parameters
        return b""

    @property
    def question(self) -> bytes:
        """What to ask about `asked` (protocols.recipients.text)."""
        may_relay = b"\0RELAYCLIENT=" if self.relay is not None and self._client.relay is None else b""  # by its login
        return recipients.text(self.asked, self.sender, self._client.surroundings + may_relay)

    def answered(self, verdict: bytes) -> bytes:
        """What is known of `asked` (protocols.recipients). Returns the reply."""
        if verdict == recipients.UNKNOWN:
            self._strangers += 1
            return reply.NO_MAILBOX
        if verdict == recipients.TROUBLE:
            return reply.NO_LOOKUP
        self.recipients.append(self.asked)
        self.wishes.append(self._asked_for)
        return reply.OK


def _language(address: bytes, parameters: Parameters, terms: Callable[[], Terms]) -> bytes:
    # The reply to an address beyond ASCII. Where SMTPUTF8 is not announced it is bytes, as it always was.
    if address.isascii() or UTF8 not in terms().extensions:
        return b""
    if UTF8 not in parameters:
        return reply.WANT_UTF8
    return b"" if domainname.is_address(address) else reply.NO_UTF8
