"""The client's side of logging in (SASL, RFC 4422): SCRAM-SHA-256 (RFC 5802, RFC 7677), PLAIN (RFC 4616), LOGIN.

exchange = Exchange(best(offered), user, password, nonce)
words = exchange.begin()                # None: the server's challenge comes first
words = exchange.heard(challenge)       # raises Unproved where the server is not to be answered
exchange.proved                         # may its consent be believed?
"""

from __future__ import annotations

import binascii

from qmail.protocols.sasl import LOGIN, MECHANISMS, PLAIN, SCRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FEWEST, MOST = 4096, 1_000_000  # iterations (RFC 7677 4); more are half a second of work and no honest server's
_HEADER = b"n,,"  # no binding to the channel, and nobody else's name


class Unproved(ValueError):
    """The server speaks nonsense, or does not know the password."""


def best(offered: Iterable[bytes]) -> bytes | None:
    """The best of the mechanisms that a server offers, in upper case; None where there is none that we know."""
    names = {name.upper() for name in offered}
    return next((each for each in MECHANISMS if each in names), None)


class Exchange:
    """One attempt. `nonce`: printable bytes without a comma that nobody can guess."""

    def __init__(self, mechanism: bytes, user: bytes, password: bytes, nonce: bytes) -> None:
        self._mechanism, self._user, self._password, self._nonce = mechanism, user, password, nonce
        self._steps = 0
        self._first = self._signature = b""
        self.proved = mechanism != SCRAM

    def begin(self) -> bytes | None:
        """Our first words."""
        if self._mechanism == PLAIN:
            return b"\0" + self._user + b"\0" + self._password
        if self._mechanism == LOGIN:
            return None
        name = self._user.replace(b"=", b"=3D").replace(b",", b"=2C")
        self._first = b"n=" + name + b",r=" + self._nonce
        return _HEADER + self._first

    def heard(self, challenge: bytes) -> bytes:
        """What to answer. Raises Unproved."""
        self._steps += 1
        if self._mechanism == LOGIN and self._steps <= 2:
            return self._user if self._steps == 1 else self._password
        if self._mechanism == SCRAM and self._steps == 1:
            return self._final(challenge)
        if self._mechanism == SCRAM and self._steps == 2 and challenge == b"v=" + self._signature:
            self.proved = True
            return b""
        raise Unproved("no such step")

    def _final(self, challenge: bytes) -> bytes:
        # r=NONCE,s=SALT,i=ITERATIONS and extensions that we know none of.
        parts = challenge.split(b",")
        values = [part[2:] for part, name in zip(parts, (b"r=", b"s=", b"i="), strict=False) if part[:2] == name]
        if len(values) != 3:
            raise Unproved("no nonce, salt and iterations")
        nonce, salt, iterations = values
        if not nonce.startswith(self._nonce) or len(nonce) <= len(self._nonce):
            raise Unproved("not our nonce")
        if not iterations.isdigit() or len(iterations) > 7 or not FEWEST <= int(iterations) <= MOST:
            raise Unproved("too few or too many iterations")
        try:
            salted = binascii.a2b_base64(salt, strict_mode=True)
        except ValueError:
            raise Unproved("no salt") from None
        from qmail.formats import scram  # with hashes, which only this needs

        without = b"c=" + _base64(_HEADER) + b",r=" + nonce
        answer = scram.answer(self._password, salted, int(iterations), b",".join([self._first, challenge, without]))
        if answer is None:
            raise Unproved("a password that cannot be said")
        proof, signature = answer
        self._signature = _base64(signature)
        return without + b",p=" + _base64(proof)


def _base64(text: bytes) -> bytes:
    return binascii.b2a_base64(text, newline=False)
