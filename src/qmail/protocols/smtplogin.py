"""AUTH in an SMTP session (RFC 4954), without I/O: what the client says, as packets for qmail-authd, and its answers.

    refusal = login.command(argument, ip)       # b"" where `packet` is to be sent to qmail-authd
    reply = login.told(answer)                  # 334: the client's next line is for `line`
    refusal = login.line(text)                  # b"" where `packet` is to be sent; empty, the talk with it is over

Who has logged in may have to be counted (control/userlimits), which qmail-authd does, too:

    login.count(recipients)                     # `packet` is to be sent
    refusal = login.counted(answer)             # b"": the message may come

Offered only where TLS is, so that no password is sent in the clear.
"""

from __future__ import annotations

import binascii

from qmail.protocols import login, sasl
from qmail.protocols import smtpreply as reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

NEVER, OFFERED, DEMANDED = range(3)  # whether clients may log in, or must
MOST_FAILURES = 3  # of one session
_VERDICTS: Final[dict[bytes, bytes]] = {
    login.REFUSED: reply.NOT_YOU, login.MALFORMED: reply.BAD_LOGIN, login.TROUBLE: reply.NO_LOGIN
}  # fmt: skip


class Login:
    """Who the client is, as far as it has said so. `user`: who has logged in. `counting`: what is asked is whether
    a message may come.
    """

    __slots__ = ("_failures", "awaited", "counting", "packet", "user")

    def __init__(self, user: bytes = b"") -> None:
        self.user, self.packet = user, b""
        self.awaited = self.counting = False  # the client's next line is no command
        self._failures = 0

    @property
    def failed(self) -> bool:
        """Has it tried too often?"""
        return self._failures >= MOST_FAILURES

    def command(self, argument: bytes, ip: bytes, mechanisms: Sequence[bytes], *, clear: bool, sending: bool) -> bytes:
        """AUTH MECHANISM, perhaps with the client's first words. Returns the refusal.

        `mechanisms`: those to be had; `clear`: there is no TLS; `sending`: there is a mail transaction.
        """
        self.packet = b""
        if clear or sending or self.user:
            return reply.NOT_IN_CLEAR if clear else reply.NOT_NOW if sending else reply.LOGGED_IN
        mechanism, _, first = argument.partition(b" ")
        mechanism, words = mechanism.upper(), None
        if mechanism not in mechanisms:
            return reply.NO_MECHANISM
        if first:
            words = b"" if first == b"=" else sasl.decoded(first)
            if words is None:
                return self._failed(reply.BAD_LOGIN)
        self.packet = login.begin(ip, mechanism, words)
        return b""

    def line(self, text: bytes) -> bytes:
        """What the client answers to 334. Returns the refusal."""
        self.awaited, self.packet = False, b""
        words = None if text == b"*" else sasl.decoded(text)
        if words is None:
            return reply.CANCELLED if text == b"*" else self._failed(reply.BAD_LOGIN)
        self.packet = login.RESPONSE + words
        return b""

    def told(self, answer: bytes) -> bytes:
        """What qmail-authd says. Returns the reply."""
        kind, words = answer[:1], answer[1:]
        if kind == login.CHALLENGE:
            self.awaited = True
            return b"334 " + binascii.b2a_base64(words, newline=False) + b"\r\n"
        if kind == login.DONE and words:
            self.user = words
            return reply.WELCOME
        verdict = _VERDICTS.get(kind, reply.NO_LOGIN)
        return verdict if verdict == reply.NO_LOGIN else self._failed(verdict)

    def count(self, recipients: int) -> None:
        """The user wants to send a message to so many."""
        self.counting, self.packet = True, login.count(self.user, recipients)

    def counted(self, answer: bytes) -> bytes:
        """What qmail-authd says to that. Returns the refusal."""
        self.counting = False
        kind = answer[:1]
        if kind == login.DONE:
            return b""
        if kind == login.LATER:
            return reply.later(login.number(answer))
        return reply.too_many_ever(login.number(answer)) if kind == login.NEVER else reply.NO_COUNT

    def _failed(self, text: bytes) -> bytes:
        self._failures += 1
        return text


def keywords(mechanisms: Sequence[bytes]) -> bytes:
    """The line of EHLO's answer."""
    return b"250-AUTH " + b" ".join(mechanisms) + b"\r\n"
