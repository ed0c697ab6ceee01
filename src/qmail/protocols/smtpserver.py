"""The server's side of an SMTP session (RFC 5321), without I/O: bytes in, events and replies out.

Whoever drives a session does what its events say (smtpevents). One turn is one command or one block, so that a loop
can be fair. A session holds at most one received block, one command line and the recipients.
"""

from __future__ import annotations

from qmail.protocols import smtpcommands, smtplines, smtplogin
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpenvelope import Envelope
from qmail.protocols.smtpevents import BEGIN, COMMIT, OVER, TURN, WAIT
from qmail.protocols.smtpsite import FIRST, Unreadable
from qmail.protocols.smtptalk import Talk


class Session(Talk):
    """One conversation, from the greeting to the end: what moves it on."""

    __slots__ = ()

    @property
    def more(self) -> bool:
        """May what came hold another turn?"""
        return self.lines.more or self.message.due or self.stage in (OVER, BEGIN)

    def receive(self, data: bytes) -> None:
        """What the client sent; b"" means that it will send nothing more."""
        self.lines.receive(data)

    def replies(self) -> bytes:
        """What is to be written, once."""
        replies, self._replies = self._replies, []
        return b"".join(replies)

    def turn(self) -> int:
        """Do one command, or read one block of a message. Returns the event."""
        if self.stage != TURN:
            return self.stage
        if self.message.reading:
            return self._read()
        try:
            line = self.lines.next()
        except smtplines.TooLong:
            return self.end(reply.TOO_LONG) if self.behind_chunk else self.say(reply.TOO_LONG)
        if line is None:
            return self.end() if self.lines.ended else WAIT
        if self.login.awaited:
            return self.log_in(self.login.line(line))
        return self._command(line)

    def _command(self, line: bytes) -> int:
        verb, _, argument = line.partition(b" ")
        word = self.peer.command(verb)
        act = smtpcommands.COMMANDS.get(word)
        if act is None:
            saying = smtpcommands.SAYINGS.get(word)
            return self.say(saying) if saying else smtpcommands.unknown(self, argument, verb)
        if self.message.halfway and word not in smtpcommands.BETWEEN:
            return self.say(reply.IN_CHUNKS)
        self.behind_chunk = False
        try:
            return act(self, argument.lstrip(b" "), verb)
        except Unreadable:
            return self.end(reply.UNREADABLE)

    def timed_out(self) -> None:
        """The client kept us waiting for too long."""
        self.end(reply.TIMEOUT)

    def begin(self, now: int) -> None:
        """After BEGIN: the message may come. `now`: seconds since 1970. `content` is its first piece."""
        completer = self.peer.completer(self.submission, self.login.user, self.envelope.sender, now)
        self.say(self.message.begin(completer))
        self.stage = TURN
        self.content = self.peer.trace(now, international=self.envelope.is_international)

    def accepted(self, qp: int, now: int) -> None:
        """After COMMIT: the message is in the queue, for good."""
        self.say(b"250 ok %d qp %d\r\n" % (now, qp), times=self.peer.answers(self.envelope.recipients))
        self.stage = TURN

    def refuse(self, text: bytes) -> None:
        """After BEGIN or COMMIT: the message cannot be taken."""
        times = self.peer.answers(self.envelope.recipients) if self.stage == COMMIT else 1
        self.say(self.message.refuse(text), times=times)
        self.stage = TURN

    def answered(self, verdict: bytes) -> None:
        """After ASK: one of protocols.recipients."""
        self.stage = self.say(self.envelope.answered(verdict), reply.RECIPIENT)

    def securing(self) -> None:
        """After TLS: the next bytes of the client are those of a handshake."""
        if self.peer.tls != FIRST:
            self.say(reply.GO_SECURE)

    def secured(self, protocol: bytes) -> None:
        """After `securing`: the handshake is over. Nothing counts that the client said before it (RFC 3207 4.2)."""
        first, self.stage, self.enhanced = self.peer.tls == FIRST, TURN, False
        self.peer.secured(protocol)
        if self.login.user:  # by XCLIENT, which anybody on the way can have put there
            self.login, self.envelope = smtplogin.Login(), Envelope(self.site, self.peer.client)
        self.lines.block()
        self.forget()
        if first:
            self.say_plainly(self.greeting)

    def insecure(self) -> None:
        """After TLS: nobody is there to speak it."""
        if self.peer.tls == FIRST:
            self.end()
        else:
            self.say(reply.NO_TLS)
            self.stage = TURN

    def told(self, answer: bytes) -> None:
        """After LOGIN: what qmail-authd says (protocols.login)."""
        self.stage = TURN
        if self.login.counting:
            self.stage = BEGIN
            if refusal := self.login.counted(answer):
                self.refuse(refusal)
            return
        text = self.login.told(answer)
        if self.login.failed:
            self.end(reply.TOO_MANY_LOGINS)
            return
        self.say(text)
        if self.login.user:
            self.trust()

    def _read(self) -> int:
        event, text = self.message.turn(self.lines)
        if event == OVER:
            return self.end(text)
        self.content = self.message.content
        if event == COMMIT:
            self.stage = COMMIT
        self.say(text, times=self.peer.answers(self.envelope.recipients))
        return event
