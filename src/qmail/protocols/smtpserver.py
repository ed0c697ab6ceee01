"""The server's side of an SMTP session (RFC 5321), without I/O: bytes in, events and replies out.

Whoever drives a session does what its events say (smtpevents). One turn is one command or one block, so that a loop
can be fair. A session holds at most one received block, one command line and the recipients.
"""

from __future__ import annotations

from qmail.protocols import smtpchunks, smtpextensions, smtplines, smtplogin
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpenvelope import Envelope
from qmail.protocols.smtpevents import ASK, BEGIN, COMMIT, LOGIN, OVER, TLS, TURN, WAIT
from qmail.protocols.smtpmessage import Incoming
from qmail.protocols.smtpparameters import Terms
from qmail.protocols.smtppeer import Peer
from qmail.protocols.smtpsite import FIRST, NEVER, Unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from qmail.protocols.smtpsite import Client, Site, Submission

_HTTP = (b"get", b"post", b"put", b"head", b"options", b"connect", b"delete")


class Session:
    """One conversation, from the greeting to the end. `number`: no other one of this second has it."""

    __slots__ = (
        "_behind_chunk", "_enhanced", "_limit", "_lines", "_message", "_replies", "_site", "_stage", "_submission",
        "code", "content", "envelope", "login", "peer",
    )  # fmt: skip

    def __init__(self, site: Site, client: Client, number: bytes = b"0") -> None:
        self._site, self.peer = site, Peer(client, number)
        self._submission: Submission | None = None
        self._limit = site.limit if client.limit is None else client.limit
        self._lines = smtplines.Lines()
        self._replies: list[bytes] = []
        self._enhanced = self._behind_chunk = False
        self._message = Incoming(self._limit)
        self.login, self.envelope = smtplogin.Login(), Envelope(site, client)
        self._stage = TLS if client.tls == FIRST else TURN
        self.content, self.code = b"", 1

    @property
    def greeting(self) -> bytes:
        """What the server says first; nothing where TLS must come before it."""
        return b"" if self._stage == TLS else b"220 %b %b\r\n" % (self._site.greeting, self.peer.language)

    @property
    def more(self) -> bool:
        """May what came hold another turn?"""
        return self._lines.more or self._message.due or self._stage in (OVER, BEGIN)

    def receive(self, data: bytes) -> None:
        """What the client sent; b"" means that it will send nothing more."""
        self._lines.receive(data)

    def replies(self) -> bytes:
        """What is to be written, once."""
        replies, self._replies = self._replies, []
        return b"".join(replies)

    def turn(self) -> int:
        """Do one command, or read one block of a message. Returns the event."""
        if self._stage != TURN:
            return self._stage
        if self._message.reading:
            return self._read()
        try:
            line = self._lines.next()
        except smtplines.TooLong:
            return self._end(reply.TOO_LONG) if self._behind_chunk else self._say(reply.TOO_LONG)
        if line is None:
            return self._end() if self._lines.ended else WAIT
        if self.login.awaited:
            return self._log_in(self.login.line(line))
        return self._command(line)

    def _command(self, line: bytes) -> int:
        verb, _, argument = line.partition(b" ")
        word = self.peer.command(verb)
        act = COMMANDS.get(word)
        if act is None:
            return self._say(SAYINGS[word]) if word in SAYINGS else self._unknown(argument, verb)
        if self._message.halfway and word not in BETWEEN:
            return self._say(reply.IN_CHUNKS)
        self._behind_chunk = False
        try:
            return act(self, argument.lstrip(b" "), verb)
        except Unreadable:
            return self._end(reply.UNREADABLE)

    def timed_out(self) -> None:
        """The client kept us waiting for too long."""
        self._end(reply.TIMEOUT)

    def begin(self, now: int) -> None:
        """After BEGIN: the message may come. `now`: seconds since 1970. `content` is its first piece."""
        completer = self.peer.completer(self._submission, self.login.user, self.envelope.sender, now)
        self._say(self._message.begin(completer))
        self._stage = TURN
        self.content = self.peer.trace(now, international=self.envelope.is_international)

    def accepted(self, qp: int, now: int) -> None:
        """After COMMIT: the message is in the queue, for good."""
        self._say(b"250 ok %d qp %d\r\n" % (now, qp), times=self.peer.answers(self.envelope.recipients))
        self._stage = TURN

    def refuse(self, text: bytes) -> None:
        """After BEGIN or COMMIT: the message cannot be taken."""
        times = self.peer.answers(self.envelope.recipients) if self._stage == COMMIT else 1
        self._say(self._message.refuse(text), times=times)
        self._stage = TURN

    def answered(self, verdict: bytes) -> None:
        """After ASK: one of protocols.recipients."""
        self._stage = self._say(self.envelope.answered(verdict), reply.RECIPIENT)

    def securing(self) -> None:
        """After TLS: the next bytes of the client are those of a handshake."""
        if self.peer.tls != FIRST:
            self._say(reply.GO_SECURE)

    def secured(self, protocol: bytes) -> None:
        """After `securing`: the handshake is over. Nothing counts that the client said before it (RFC 3207 4.2)."""
        first, self._stage, self._enhanced = self.peer.tls == FIRST, TURN, False
        self.peer.secured(protocol)
        if self.login.user:  # by XCLIENT, which anybody on the way can have put there
            self.login, self.envelope = smtplogin.Login(), Envelope(self._site, self.peer.client)
        self._lines.block()
        self._forget()
        if first:
            self._replies.append(self.greeting)

    def insecure(self) -> None:
        """After TLS: nobody is there to speak it."""
        if self.peer.tls == FIRST:
            self._end()
        else:
            self._say(reply.NO_TLS)
            self._stage = TURN

    def told(self, answer: bytes) -> None:
        """After LOGIN: what qmail-authd says (protocols.login)."""
        self._stage = TURN
        if self.login.counting:
            self._stage = BEGIN
            if refusal := self.login.counted(answer):
                self.refuse(refusal)
            return
        text = self.login.told(answer)
        if self.login.failed:
            self._end(reply.TOO_MANY_LOGINS)
            return
        self._say(text)
        if self.login.user:
            self._trust()

    def _trust(self) -> None:
        # The client has logged in.
        self.envelope.relay = self.envelope.relay or b""
        self.peer.logged_in()
        self._forget()

    def _say(self, text: bytes, code: bytes = b"", *, times: int = 1) -> int:
        # `code`: the enhanced status code of a reply that says none. b"" says nothing.
        self._replies.append((reply.enhanced(text, code) if self._enhanced and text else text) * times)
        return TURN

    def _end(self, text: bytes = b"", code: int = 1) -> int:
        self._say(text)
        self._stage, self.code = OVER, code
        return OVER

    def _hello(self, name: bytes, _verb: bytes) -> int:
        return self._meet(name, b"250 " + self._site.greeting + b"\r\n")

    def _extended_hello(self, name: bytes, _verb: bytes) -> int:
        words = smtpextensions.answer(self._site, self.peer, self._limit)
        return self._meet(name, words, enhanced=smtpextensions.STATUS_CODES in self._site.extensions)

    def _meet(self, name: bytes, text: bytes, *, enhanced: bool = False) -> int:
        self.peer.greets(name)
        self._enhanced = enhanced
        self._replies.append(text)
        return self._forget()

    def _terms(self) -> Terms:
        return Terms(self._limit, smtpextensions.offered(self._site, self.peer), secured=self.peer.is_secured)

    def _mail(self, argument: bytes, _verb: bytes) -> int:
        if not self._message.halfway:
            self._message.forget()  # chunks that were refused
        return self._say(self.envelope.mail(argument, self.login.user, self._terms), reply.SENDER)

    def _rcpt(self, argument: bytes, _verb: bytes) -> int:
        text = self.envelope.rcpt(argument, self._terms)
        if text == reply.HARVESTING:
            return self._end(text)
        self._stage = self._say(text) if text else ASK
        return self._stage

    def _data(self, _argument: bytes, _verb: bytes) -> int:
        if refusal := self.envelope.incomplete:
            return self._say(refusal)
        self._message.forget()  # chunks that were refused
        return self._begin()

    def _chunk(self, argument: bytes, verb: bytes) -> int:
        if smtpextensions.CHUNKING not in self._site.extensions:
            return self._unknown(argument, verb)
        chunk = smtpchunks.chunk(argument)
        if chunk is None:
            # Nobody can say how much of what follows is no command.
            return self._end(reply.NO_CHUNK)
        self._behind_chunk = True
        return self._begin() if self._message.expect(*chunk, self.envelope.incomplete) else TURN

    def _begin(self) -> int:
        # What `begin` needs, too: there it is too late to say that it cannot be read.
        self._submission = self._site.submission() if self.login.user else None
        self.envelope.begun = False
        self._stage = BEGIN
        if self._submission is not None and self._submission.limited:
            self.login.count(len(self.envelope.recipients))
            self._stage = LOGIN
        return self._stage

    def _reset(self, _argument: bytes, _verb: bytes) -> int:
        self._say(reply.FLUSHED)
        return self._forget()

    def _quit(self, _argument: bytes, _verb: bytes) -> int:
        return self._end(b"221 " + self._site.greeting + b"\r\n", 0)

    def _starttls(self, argument: bytes, verb: bytes) -> int:
        if self.peer.tls == NEVER:
            return self._say(reply.SECURE) if self.peer.is_secured else self._unknown(argument, verb)
        if argument:
            return self._say(reply.NO_ARGUMENT)
        if self._lines.more:
            # What somebody on the way has put behind it would be taken for what the client says under TLS.
            return self._end(reply.NOTHING_BEHIND)
        self._stage = TLS
        return TLS

    def _auth(self, argument: bytes, verb: bytes) -> int:
        if self.peer.client.login == smtplogin.NEVER:
            return self._unknown(argument, verb)
        clear, ip = not self.peer.is_secured, self.peer.client.origin.ip
        mechanisms = self._site.submission().mechanisms
        return self._log_in(self.login.command(argument, ip, mechanisms, clear=clear, sending=self.envelope.begun))

    def _introduce(self, argument: bytes, verb: bytes) -> int:
        if self.peer.client.successor is None:
            return self._unknown(argument, verb)
        if self.envelope.begun:
            return self._say(reply.NOT_NOW)
        said = self.peer.introduces(argument)
        if said is None:
            return self._say(reply.NO_INTRODUCTION)
        self.login, self.envelope = smtplogin.Login(said.user), Envelope(self._site, self.peer.client)
        if said.user:
            self._trust()
        self._enhanced = False
        self._replies.append(self.greeting)
        return self._forget()

    def _log_in(self, refusal: bytes) -> int:
        if self.login.failed:
            return self._end(reply.TOO_MANY_LOGINS)
        self._stage = LOGIN if not refusal else self._say(refusal)
        return LOGIN

    def _unknown(self, argument: bytes, verb: bytes) -> int:
        if self._behind_chunk or (b" HTTP/" in argument and verb.lower() in _HTTP):
            # A client that has counted wrong, or a browser that was led here: what follows may be chosen by whoever
            # wrote a message or a web page, and must not be read as commands.
            return self._end(reply.UNKNOWN)
        return self._say(reply.UNKNOWN)

    def _forget(self) -> int:
        # There is no transaction any more. The event.
        self.envelope.forget()
        return self._message.forget()

    def _read(self) -> int:
        event, text = self._message.turn(self._lines)
        if event == OVER:
            return self._end(text)
        self.content = self._message.content
        if event == COMMIT:
            self._stage = COMMIT
        self._say(text, times=self.peer.answers(self.envelope.recipients))
        return event


COMMANDS: Final[dict[bytes, Callable[[Session, bytes, bytes], int]]] = {
    b"helo": Session._hello,  # RFC 5321 4.1.1.1
    b"ehlo": Session._extended_hello,  # 4.1.1.1
    b"mail": Session._mail,  # 4.1.1.2
    b"rcpt": Session._rcpt,  # 4.1.1.3
    b"data": Session._data,  # 4.1.1.4
    b"bdat": Session._chunk,  # RFC 3030 2
    b"rset": Session._reset,  # 4.1.1.5
    b"quit": Session._quit,  # 4.1.1.10
    b"starttls": Session._starttls,  # RFC 3207 4
    b"auth": Session._auth,  # RFC 4954 4
    b"xclient": Session._introduce,  # Postfix's XCLIENT_README
}
SAYINGS: Final[dict[bytes, bytes]] = {
    b"vrfy": reply.TRY,  # 4.1.1.6
    b"help": reply.HELP,  # 4.1.1.8
    b"noop": reply.OK,  # 4.1.1.9
}
BETWEEN = frozenset((b"bdat", b"rset", b"quit", b"helo", b"ehlo"))  # and SAYINGS: what may stand between two chunks
