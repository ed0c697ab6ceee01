"""AUTH PLAIN in a POP3 session (RFC 5034, RFC 4616), without I/O: what the client says, as a name and a password.

Others than PLAIN are not to be had: whoever lets in is a checker (checkpassword(8)), which must see the password.
"""

from __future__ import annotations

from qmail.protocols import sasl
from qmail.protocols.pop3 import bad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Answer: TypeAlias = "bytes | sasl.Password"

KEYWORD = b"SASL PLAIN\r\n"  # for CAPA
NO_MECHANISM = bad(b"PLAIN is the only mechanism here")
MALFORMED = bad(b"this is not what PLAIN looks like")
CANCELLED = bad(b"cancelled")
NOT_YOU = bad(b"authorization failed")


class Login:
    """One client. An answer is what to tell it, or the password that it has said."""

    __slots__ = ("_exchange", "awaited")

    def __init__(self) -> None:
        self._exchange = sasl.Exchange(sasl.PLAIN, b"")
        self.awaited = False  # the client's next line is no command

    def command(self, argument: bytes) -> Answer:
        """AUTH MECHANISM, perhaps with the client's first words."""
        mechanism, _, first = argument.partition(b" ")
        if mechanism.upper() != sasl.PLAIN:
            return NO_MECHANISM
        self._exchange = sasl.Exchange(sasl.PLAIN, b"")
        words = None
        if first:
            words = b"" if first == b"=" else sasl.decoded(first)
            if words is None:
                return MALFORMED
        return self._answer(self._exchange.begin(words))

    def line(self, text: bytes) -> Answer:
        """What the client answers to `+`, as it came, without its end."""
        self.awaited = False
        words = None if text == b"*" else sasl.decoded(text)
        if words is None:
            return CANCELLED if text == b"*" else MALFORMED
        return self._answer(self._exchange.heard(words))

    def _answer(self, step: sasl.Step) -> Answer:
        if isinstance(step, sasl.Password):
            return step
        if isinstance(step, sasl.Challenge):
            self.awaited = True
            return b"+ \r\n"
        return NOT_YOU if isinstance(step, sasl.Failed) and not step.malformed else MALFORMED
