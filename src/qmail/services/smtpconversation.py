"""One client of a warm qmail-smtpd: what its descriptor, its session and its message say to each other.

A client gets one turn, then the next client: one command, or 64 KiB. A client that does not read its
replies is not read from, nor is one whose message waits for the queue.
"""

from __future__ import annotations

import math
import os

from qmail.formats import received
from qmail.host import clock, fds, program
from qmail.host.loop import GONE, WRITE
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpevents import ABANDON, ASK, BEGIN, COMMIT, CONTENT, LOGIN, OVER, TLS, TURN, WAIT
from qmail.protocols.smtpserver import Session
from qmail.services import queuelinks
from qmail.services.smtptls import Handshake
from qmail.stores import logindoor, submission, tlsdoor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.tlsfacts import Facts
    from qmail.services.smtpsurroundings import Surroundings

BLOCK = 65536  # bytes of one client a turn
LONGEST = 86_400.0  # seconds for a message to come, as qmail-queue has it
PATIENCE = 64  # turns after which a client's replies are written though it has sent more
FAILED = 1 << 8  # raw wait status


class Conversation:
    """One client: its descriptor, its session, and the message it is sending.

    `_busy`: it is not to be read from, since a turn of it, or an answer of the queue or on a recipient, is to come.
    `_asking`: the answer on a recipient is to come.
    `_out`: what it has not taken of our replies. `_heard`: it has done something since the last look at it.
    """

    __slots__ = (
        "_around", "_asking", "_busy", "_committed", "_deadline", "_descriptor", "_heard", "_latest", "_login",
        "_message", "_muted", "_out", "_over", "_session", "_timeout", "_turns", "number",
    )  # fmt: skip

    def __init__(self, around: Surroundings, descriptor: int, number: int, session: Session, timeout: int) -> None:
        self._around, self._descriptor, self.number, self._session = around, descriptor, number, session
        self._timeout, self._turns, self._out = timeout, 0, b""
        self._asking = self._busy = self._committed = self._muted = self._over = False
        self._message: queuelinks.Message | None = None
        self._login: logindoor.Door | None = None
        self._latest = math.inf  # when a message must have come
        self._deadline = clock.monotonic() + timeout
        self._heard = False

    def greet(self) -> None:
        """Begin."""
        self._around.loop.watch(self._descriptor, self.ready)
        self._write(self._session.greeting)
        self.turn()

    def ready(self, events: int) -> None:
        """Something happened on the connection."""
        try:
            if self._out:
                self._write(b"")
            elif self._busy:
                self._mute(events)
            else:
                try:
                    data = os.read(self._descriptor, BLOCK)
                except BlockingIOError:
                    return
                except OSError:
                    self.close(FAILED)
                    return
                self._session.receive(data)
                self._turn()
        except Exception as error:
            self._broken(error)

    def turn(self) -> None:
        """One more turn, for a client that has sent more than one."""
        try:
            if self._descriptor >= 0:
                self._wake()
                self._turn()
        except Exception as error:
            self._broken(error)

    def look(self, now: float) -> None:
        """To be called every second: end what has kept us waiting for too long, the client or the queue."""
        if self._heard:
            self._heard, self._deadline = False, min(now + self._timeout, self._latest)
        elif now >= self._deadline and not self._asking:
            self._expire()

    def close(self, status: int) -> None:
        """The session is over."""
        if self._descriptor >= 0:
            self._around.loop.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._give_up_message()
            if self._login is not None:
                self._login.close()
            self._around.ended(self, status)

    def _expire(self) -> None:
        if self._committed:
            self._give_up_message()
            self._answered(submission.Outcome(submission.TIMED_OUT))
        elif self._out or self._over:
            self.close(FAILED)
        else:
            self._session.timed_out()
            self.turn()
            self.close(FAILED)

    def _turn(self) -> None:
        session = self._session
        event = session.turn()
        if event == WAIT:
            self._write(session.replies())
            return
        self._heard = True  # a part of a command gains no time
        if event > TURN and not self._event(event):
            return
        if session.more:
            self._take_turns()
        else:
            self._write(session.replies())

    def _event(self, event: int) -> bool:
        # What a command or a block leads to. False: the session does not go on now.
        session = self._session
        if event == ASK:
            self._asking = True
            self._around.asker.ask(session.envelope.question, self._told)
            self._busy = self._asking
        elif event == BEGIN:
            self._latest = clock.monotonic() + LONGEST
            self._message = queuelinks.Message(self._around.links, self._answered, self._room)
            session.begin(int(clock.now()))
            self._message.write(session.content)
        elif event == CONTENT and self._message is not None:
            self._busy = not self._message.write(session.content)
        elif event == COMMIT and self._message is not None:
            self._busy = self._committed = True
            self._heard, self._deadline = False, clock.monotonic() + submission.PATIENCE
            self._message.write(session.content)
            envelope = session.envelope
            self._message.finish(envelope.sender, envelope.recipients, envelope.besides)
            return False
        elif event == ABANDON:
            self._give_up_message()
            self._latest = math.inf
        elif event == TLS:
            return self._secure()
        elif event == LOGIN:
            return self._log_in()
        elif event == OVER:
            self._over = True
            self._write(session.replies())
            return False
        return not self._busy

    def _log_in(self) -> bool:
        # What the client says goes to qmail-authd. False: as in `_event`.
        packet = self._session.login.packet
        if self._login is None:
            self._login = logindoor.Door(self._around.loop, self._around.home, self._heard_of_login)
        if not packet:
            self._login.close()
            return True
        self._asking = self._busy = True
        self._login.send(packet)
        return not self._busy

    def _heard_of_login(self, answer: bytes) -> None:
        self._asking = False
        self._session.told(answer)
        self._go_on()

    def _secure(self) -> bool:
        # The client goes to qmail-tlsd, and what comes from there takes its place. False: as in `_event`.
        try:
            door = tlsdoor.knock(self._around.home)
        except OSError:
            self._session.insecure()
            return True
        self._session.securing()
        self._write(self._session.replies())
        try:
            if self._descriptor < 0 or self._out:
                raise BrokenPipeError  # who reads no reply speaks no TLS
            Handshake(self._around.loop, door, self._descriptor, self._secured)
        except OSError:
            os.close(door)
            self.close(FAILED)
        else:
            self._around.loop.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = door
        return False

    def _secured(self, facts: Facts | None, words: bytes) -> None:
        if facts is None:
            self.close(FAILED)
            return
        self._heard = True
        self._around.loop.watch(self._descriptor, self.ready)
        self._session.secured(received.secure(facts.protocol, facts.cipher))
        if words:
            self._session.receive(words)
        self.turn()

    def _take_turns(self) -> None:
        # The next turn of this client comes after those of the others.
        self._turns += 1
        if self._turns % PATIENCE == 0:
            self._write(self._session.replies())
        if not self._out and self._descriptor >= 0:
            self._busy = True
            self._around.later.append(self)

    def _write(self, text: bytes) -> None:
        # What the client does not take now waits, and the client is not read from meanwhile.
        waited = bool(self._out)
        text = self._out + text
        if text:
            try:
                self._out = text[os.write(self._descriptor, text) :]
            except BlockingIOError:
                self._out = text
            except OSError:
                self.close(FAILED)
                return
        if self._out:
            if not waited:
                self._around.loop.watch(self._descriptor, self.ready, WRITE)
            return
        if self._over:
            self.close(self._session.code << 8)
            return
        if waited:
            self._heard = True
            self._around.loop.watch(self._descriptor, self.ready)
            if self._session.more:
                self._take_turns()

    def _room(self) -> None:
        # The message may be written on.
        if self._busy and not self._committed and self._message is not None:
            self._heard = True
            self._wake()
            self._take_turns()

    def _answered(self, outcome: submission.Outcome) -> None:
        self._message, self._committed = None, False
        if outcome.code == 0:
            self._session.accepted(outcome.qp, int(clock.now()))
        else:
            self._session.refuse(reply.reply_to(submission.words(outcome)))
        self._latest = math.inf
        self._go_on()

    def _told(self, verdict: bytes) -> None:
        # The answer on a recipient.
        self._asking = False
        if self._descriptor < 0:
            return
        self._session.answered(verdict)
        if self._busy:  # it was not told at once
            self._go_on()

    def _go_on(self) -> None:
        # What was waited for has come.
        self._heard = True
        self._wake()
        if self._session.more:
            self._take_turns()
        else:
            self._write(self._session.replies())

    def _mute(self, events: int) -> None:
        # Level-triggered events of a client that is not to be read from would wake us again and again.
        self._muted = True
        if events & GONE:
            self._around.loop.forget(self._descriptor)
        else:
            self._around.loop.watch(self._descriptor, self.ready, 0)

    def _wake(self) -> None:
        self._busy = False
        if self._muted:
            self._muted = False
            self._around.loop.watch(self._descriptor, self.ready)

    def _give_up_message(self) -> None:
        message, self._message = self._message, None
        if message is not None:
            message.abandon()

    def _broken(self, error: Exception) -> None:
        complain(error)
        self.close(111 << 8)


def complain(error: BaseException) -> None:
    """Say what nobody expected, unless that would make us wait."""
    fds.write_if_ready(2, program.last_words(b"qmail-smtpd", error)[1])
