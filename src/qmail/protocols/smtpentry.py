"""Logging in to another host (RFC 4954), without I/O: what to write, and what comes of the replies.

Whatever keeps us out is no fault of the message, so it waits (#4.7.8): a password that is wrong here would bounce
everything.
"""

from __future__ import annotations

import binascii

from qmail.protocols import saslclient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.protocols.replyreader import Reply

IN, NOT_YET, OUT = range(3)
NO_WAY = b" but it offers no way to log in that I know"
REFUSED = b" but it does not let me in as "
UNPROVED = b" but it does not prove that it knows the password of "


class Entry:
    """One login. `output`: what is to be written now; `complaint`: why it came to nothing."""

    __slots__ = ("_exchange", "_nonce", "_password", "complaint", "output", "user")

    def __init__(self, user: bytes, password: bytes, nonce: bytes) -> None:
        self.user, self._password, self._nonce = user, password, nonce
        self._exchange: saslclient.Exchange | None = None
        self.output = self.complaint = b""

    def begin(self, offered: bytes) -> int:
        """`offered`: the server's reply to EHLO."""
        mechanism = saslclient.best(mechanisms(offered))
        if mechanism is None:
            self.complaint = NO_WAY
            return OUT
        self._exchange = saslclient.Exchange(mechanism, self.user, self._password, self._nonce)
        words = self._exchange.begin()
        self.output = b"AUTH " + mechanism + (b"" if words is None else b" " + _coded(words)) + b"\r\n"
        return NOT_YET

    def heard(self, reply: Reply) -> int:
        """The server's reply."""
        exchange, self.output = self._exchange, b""
        if exchange is None or reply.code not in (235, 334):
            self.complaint = REFUSED + _shown(self.user)
            return OUT
        if reply.code == 235:
            self.complaint = b"" if exchange.proved else UNPROVED + _shown(self.user)
            return IN if exchange.proved else OUT
        words = reply.text[4:].partition(b"\n")[0].strip()
        try:
            answer = exchange.heard(binascii.a2b_base64(words, strict_mode=True) if words else b"")
            self.output = binascii.b2a_base64(answer, newline=False) + b"\r\n"
        except ValueError:
            self.complaint = UNPROVED + _shown(self.user)
            return OUT
        return NOT_YET


def mechanisms(text: bytes) -> list[bytes]:
    """The mechanisms that a reply to EHLO announces, in upper case."""
    lines = (line[4:].upper().replace(b"=", b" ", 1).split() for line in text.split(b"\n")[1:])
    return [word for words in lines if words and words[0] == b"AUTH" for word in words[1:]]


def _coded(words: bytes) -> bytes:
    return binascii.b2a_base64(words, newline=False) if words else b"="


def _shown(user: bytes) -> bytes:
    return bytes(byte if 33 <= byte <= 126 else 63 for byte in user)
