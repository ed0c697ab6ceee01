"""The server's side of an SMTP session (RFC 5321), without I/O: bytes in, events and replies out.

Whoever drives a session does what its events say (smtpevents). One turn is one command or one block, so that a loop
can be fair. A session holds at most one received block, one command line and the recipients.
"""

from __future__ import annotations

from qmail.formats import received
from qmail.protocols import smtpdata, smtpenvelope, smtpextensions, smtplines, smtplogin, smtpparameters
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpevents import ABANDON, ASK, BEGIN, COMMIT, CONTENT, LOGIN, OVER, TLS, TURN, WAIT
from qmail.protocols.smtpsite import FIRST, NEVER, OFFERED, Unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from qmail.protocols.smtpsite import Client, Site

_HTTP = (b"get", b"post", b"put", b"head", b"options", b"connect", b"delete")


class Session:
    """One conversation, from the greeting to the end."""

    __slots__ = (
        "_client", "_content", "_dropped", "_greeted", "_limit", "_lines", "_protocol", "_replies", "_site", "_stage",
        "_tls", "code", "content", "envelope", "login",
    )  # fmt: skip

    def __init__(self, site: Site, client: Client) -> None:
        self._site, self._client = site, client
        self._limit = site.limit if client.limit is None else client.limit
        self._lines = smtplines.Lines()
        self._replies: list[bytes] = []
        self._greeted: bytes | None = None
        self._dropped = False
        self._content: smtpdata.Content | None = None
        self._tls, self._protocol = client.tls, client.protocol
        self.login, self.envelope = smtplogin.Login(), smtpenvelope.Envelope(site, client)
        self._stage = TLS if self._tls == FIRST else TURN
        self.content, self.code = b"", 1

    @property
    def greeting(self) -> bytes:
        """What the server says first; nothing where TLS must come before it."""
        return b"" if self._stage == TLS else b"220 " + self._site.greeting + b" ESMTP\r\n"

    @property
    def more(self) -> bool:
        """May what came hold another turn?"""
        return self._lines.more or self._stage == OVER

    def receive(self, data: bytes) -> None:
        """What the client sent; b"" means that it will send nothing more."""
        self._lines.receive(data)

    def replies(self) -> bytes:
        """What is to be written, once."""
        replies = b"".join(self._replies)
        self._replies.clear()
        return replies

    def turn(self) -> int:
        """Do one command, or read one block of a message. Returns the event."""
        if self._stage != TURN:
            return self._stage
        if self._content is not None:
            return self._block(self._content)
        try:
            line = self._lines.next()
        except smtplines.TooLong:
            return self._say(reply.TOO_LONG)
        if line is None:
            return self._end() if self._lines.ended else WAIT
        if self.login.awaited:
            return self._log_in(self.login.line(line))
        verb, _, argument = line.partition(b" ")
        word = verb.lower()
        if word in SAYINGS:
            return self._say(SAYINGS[word])
        try:
            return COMMANDS.get(word, Session._unknown)(self, argument.lstrip(b" "), verb)
        except Unreadable:
            return self._end(reply.UNREADABLE)

    def timed_out(self) -> None:
        """The client kept us waiting for too long."""
        self._end(reply.TIMEOUT)

    def begin(self, now: int) -> None:
        """After BEGIN: the message may come. `now`: seconds since 1970. `content` is its first piece."""
        self._say(reply.GO_AHEAD)
        self._content = smtpdata.Content()
        self._dropped, self._stage = False, TURN
        self.content = received.line(self._protocol, self._client.origin, self._greeted, now)

    def accepted(self, qp: int, now: int) -> None:
        """After COMMIT: the message is in the queue, for good."""
        self._say(b"250 ok %d qp %d\r\n" % (now, qp))
        self._stage = TURN

    def refuse(self, text: bytes) -> None:
        """After BEGIN or COMMIT: the message cannot be taken."""
        self._say(text)
        self._stage = TURN

    def answered(self, verdict: bytes) -> None:
        """After ASK: one of protocols.recipients."""
        self._stage = self._say(self.envelope.answered(verdict))

    def securing(self) -> None:
        """After TLS: the next bytes of the client are those of a handshake."""
        if self._tls != FIRST:
            self._say(reply.GO_SECURE)

    def secured(self, protocol: bytes) -> None:
        """After `securing`: the handshake is over. Nothing counts that the client said before it (RFC 3207 4.2)."""
        first, self._tls, self._protocol, self._stage = self._tls == FIRST, NEVER, protocol, TURN
        self._lines.block()
        self._greeted = None
        self.envelope.forget()
        if first:
            self._say(self.greeting)

    def insecure(self) -> None:
        """After TLS: nobody is there to speak it."""
        if self._tls == FIRST:
            self._end()
        else:
            self._say(reply.NO_TLS)
            self._stage = TURN

    def told(self, answer: bytes) -> None:
        """After LOGIN: what qmail-authd says (protocols.login)."""
        self._stage = TURN
        text = self.login.told(answer)
        if self.login.failed:
            self._end(reply.TOO_MANY_LOGINS)
            return
        self._say(text)
        if self.login.user:
            self.envelope.relay = self.envelope.relay or b""
            self._protocol = self._protocol.replace(b"ESMTPS", b"ESMTPSA", 1)
            self.envelope.forget()

    def _say(self, text: bytes) -> int:
        self._replies.append(text)
        return TURN

    def _end(self, text: bytes = b"", code: int = 1) -> int:
        if text:
            self._replies.append(text)
        self._stage, self.code = OVER, code
        return OVER

    def _hello(self, name: bytes, _verb: bytes) -> int:
        self._meet(name)
        return self._say(b"250 " + self._site.greeting + b"\r\n")

    def _extended_hello(self, name: bytes, _verb: bytes) -> int:
        self._meet(name)
        size = b"250-SIZE %d\r\n" % self._limit if self._limit else b""
        tls = b"250-STARTTLS\r\n" if self._tls == OFFERED else b""
        if self._client.login != smtplogin.NEVER and self._protocol != b"SMTP":
            tls += smtplogin.KEYWORDS  # a password is never asked for in the clear
        more = smtpextensions.announced(self._site.extensions)
        return self._say(b"250-%b\r\n250-PIPELINING\r\n%b%b%b250 8BITMIME\r\n" % (self._site.greeting, tls, size, more))

    def _meet(self, name: bytes) -> None:
        self._greeted = None if name.lower() == self._client.origin.host.lower() else name
        self.envelope.forget()

    def _terms(self) -> smtpparameters.Terms:
        secured = self._protocol != b"SMTP"
        return smtpparameters.Terms(self._limit, self._site.extensions, secured=secured)

    def _mail(self, argument: bytes, _verb: bytes) -> int:
        return self._say(self.envelope.mail(argument, self.login.user, self._terms()))

    def _rcpt(self, argument: bytes, _verb: bytes) -> int:
        text = self.envelope.rcpt(argument, self._terms())
        if text == reply.HARVESTING:
            return self._end(text)
        self._stage = self._say(text) if text else ASK
        return self._stage

    def _data(self, _argument: bytes, _verb: bytes) -> int:
        if not self.envelope.begun:
            return self._say(reply.WANT_MAIL)
        if not self.envelope.recipients:
            return self._say(reply.WANT_RCPT)
        self.envelope.begun = False
        self._stage = BEGIN
        return BEGIN

    def _reset(self, _argument: bytes, _verb: bytes) -> int:
        self.envelope.forget()
        return self._say(reply.FLUSHED)

    def _quit(self, _argument: bytes, _verb: bytes) -> int:
        return self._end(b"221 " + self._site.greeting + b"\r\n", 0)

    def _starttls(self, argument: bytes, verb: bytes) -> int:
        if self._tls == NEVER:
            return self._say(reply.SECURE) if self._protocol != b"SMTP" else self._unknown(argument, verb)
        if argument:
            return self._say(reply.NO_ARGUMENT)
        if self._lines.more:
            # What somebody on the way has put behind it would be taken for what the client says under TLS.
            return self._end(reply.NOTHING_BEHIND)
        self._stage = TLS
        return TLS

    def _auth(self, argument: bytes, verb: bytes) -> int:
        if self._client.login == smtplogin.NEVER:
            return self._unknown(argument, verb)
        clear, ip = self._protocol == b"SMTP", self._client.origin.ip
        return self._log_in(self.login.command(argument, ip, clear=clear, sending=self.envelope.begun))

    def _log_in(self, refusal: bytes) -> int:
        if self.login.failed:
            return self._end(reply.TOO_MANY_LOGINS)
        self._stage = LOGIN if not refusal else self._say(refusal)
        return LOGIN

    def _unknown(self, argument: bytes, verb: bytes) -> int:
        if b" HTTP/" in argument and verb.lower() in _HTTP:
            # A browser that was led here: what follows, and may be chosen by a web page, must not be read as commands.
            return self._end(reply.UNKNOWN)
        return self._say(reply.UNKNOWN)

    def _block(self, content: smtpdata.Content) -> int:
        block = self._lines.block()
        if not block:
            return self._end() if self._lines.ended else WAIT
        try:
            self.content = content.feed(block)
        except smtpdata.BareLineFeed:
            return self._end(reply.BARE_LF)
        complaint = content.complaint(self._limit)
        if content.over:
            self._content = None
            self._lines.give_back(content.rest)
            if not complaint:
                self._stage = COMMIT
                return COMMIT
            self._say(complaint)
        elif not complaint:
            return CONTENT
        event, self._dropped = TURN if self._dropped else ABANDON, True
        return event


COMMANDS: Final[dict[bytes, Callable[[Session, bytes, bytes], int]]] = {
    b"helo": Session._hello,  # RFC 5321 4.1.1.1
    b"ehlo": Session._extended_hello,  # 4.1.1.1
    b"mail": Session._mail,  # 4.1.1.2
    b"rcpt": Session._rcpt,  # 4.1.1.3
    b"data": Session._data,  # 4.1.1.4
    b"rset": Session._reset,  # 4.1.1.5
    b"quit": Session._quit,  # 4.1.1.10
    b"starttls": Session._starttls,  # RFC 3207 4
    b"auth": Session._auth,  # RFC 4954 4
}
SAYINGS: Final[dict[bytes, bytes]] = {
    b"vrfy": reply.TRY,  # 4.1.1.6
    b"help": reply.HELP,  # 4.1.1.8
    b"noop": reply.OK,  # 4.1.1.9
}
