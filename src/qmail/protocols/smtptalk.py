"""An SMTP session as its commands see it: how far it has come, and what they can make of it."""

from __future__ import annotations

from qmail.protocols import smtpextensions, smtplines, smtplogin
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpenvelope import Envelope
from qmail.protocols.smtpevents import LOGIN, OVER, TLS, TURN
from qmail.protocols.smtpmessage import Incoming
from qmail.protocols.smtpparameters import Terms
from qmail.protocols.smtppeer import Peer
from qmail.protocols.smtpsite import FIRST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.protocols.smtpsite import Client, Site, Submission


class Talk:
    """One conversation. `number`: no other one of this second has it.

    `stage`: the event that is being waited for, or TURN. `envelope`, `message`: of the transaction; `content`: the
    piece of the message that has come. `enhanced`: replies have codes in front. `behind_chunk`: the last command was
    BDAT. `submission`: what holds for the message of who has logged in. `code`: how the session has ended.
    """

    __slots__ = (
        "_replies", "behind_chunk", "code", "content", "enhanced", "envelope", "limit", "lines", "login", "message",
        "peer", "site", "stage", "submission",
    )  # fmt: skip

    def __init__(self, site: Site, client: Client, number: bytes = b"0") -> None:
        self.site, self.peer = site, Peer(client, number)
        self.submission: Submission | None = None
        self.limit = site.limit if client.limit is None else client.limit
        self.lines = smtplines.Lines()
        self._replies: list[bytes] = []
        self.enhanced = self.behind_chunk = False
        self.message = Incoming(self.limit)
        self.login, self.envelope = smtplogin.Login(), Envelope(site, client)
        self.stage = TLS if client.tls == FIRST else TURN
        self.content, self.code = b"", 1

    @property
    def greeting(self) -> bytes:
        """What the server says first; nothing where TLS must come before it."""
        return b"" if self.stage == TLS else b"220 %b %b\r\n" % (self.site.greeting, self.peer.language)

    def trust(self) -> None:
        """The client has logged in."""
        self.envelope.relay = self.envelope.relay or b""
        self.peer.logged_in()
        self.forget()

    def say(self, text: bytes, code: bytes = b"", *, times: int = 1) -> int:
        """Reply. `code`: the enhanced status code of a reply that says none. b"" says nothing."""
        self._replies.append((reply.enhanced(text, code) if self.enhanced and text else text) * times)
        return TURN

    def say_plainly(self, text: bytes) -> None:
        """Reply with what has no code, a greeting or an answer to one (RFC 2034 4)."""
        self._replies.append(text)

    def end(self, text: bytes = b"", code: int = 1) -> int:
        """Nothing more is read."""
        self.say(text)
        self.stage, self.code = OVER, code
        return OVER

    def terms(self) -> Terms:
        """What parameters are held to."""
        return Terms(self.limit, smtpextensions.offered(self.site, self.peer), secured=self.peer.is_secured)

    def log_in(self, refusal: bytes) -> int:
        """What was said to log in is to be sent, or refused."""
        if self.login.failed:
            return self.end(reply.TOO_MANY_LOGINS)
        self.stage = LOGIN if not refusal else self.say(refusal)
        return LOGIN

    def forget(self) -> int:
        """There is no transaction any more. The event."""
        self.envelope.forget()
        return self.message.forget()
