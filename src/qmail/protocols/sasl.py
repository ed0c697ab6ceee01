"""The server's side of logging in (SASL, RFC 4422): PLAIN (RFC 4616), LOGIN, and SCRAM-SHA-256 (RFC 5802, RFC 7677).

An `Exchange` is told what the client says, and answers with a step:

    Challenge   to be sent to the client, whose answer is to be told next
    Password    is this the password of that name? To be answered with `decided`
    Wanted      the SCRAM keys of that name are needed: `keyed`
    Done        the client is who it says: `name`
    Failed      it is not, or speaks nonsense (`malformed`)

A client that may act for another name than its own is not known here: both must be one.
"""

from __future__ import annotations

import binascii

from qmail.formats.saslprep import prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from qmail.formats.scram import Keys

    Step: TypeAlias = "Challenge | Password | Wanted | Done | Failed"

PLAIN, LOGIN, SCRAM = b"PLAIN", b"LOGIN", b"SCRAM-SHA-256"
MECHANISMS = (SCRAM, PLAIN, LOGIN)  # best first
LONGEST = 9216  # bytes of what a client says at once, decoded (RFC 4954 4: 12,288 in base64)
LONGEST_NAME = LONGEST_PASSWORD = 255
# No binding to the channel, and nobody else's name; `y` is said by who could bind, and thinks rightly that we cannot.
_BINDINGS = (b"n", b"y")  # none, either way


class Challenge:
    """Bytes for the client."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


class Password:
    """Does `name` have this password?"""

    __slots__ = ("name", "password")

    def __init__(self, name: bytes, password: bytes) -> None:
        self.name, self.password = name, password


class Wanted:
    """The SCRAM keys of `name`."""

    __slots__ = ("name",)

    def __init__(self, name: bytes) -> None:
        self.name = name


class Done:
    """The client is `name`."""

    __slots__ = ("name",)

    def __init__(self, name: bytes) -> None:
        self.name = name


class Failed:
    """It is not. `malformed`: it did not speak the mechanism's language."""

    __slots__ = ("malformed",)

    def __init__(self, *, malformed: bool = False) -> None:
        self.malformed = malformed


class Exchange:
    """One attempt. `nonce`: printable bytes without a comma that nobody can guess."""

    def __init__(self, mechanism: bytes, nonce: bytes) -> None:
        self.mechanism, self._nonce = mechanism, nonce
        self.name = b""  # as far as it is known
        self._state = 0
        self._header = self._first = self._server_first = b""
        self._keys: Keys | None = None

    def begin(self, initial: bytes | None) -> Step:
        """The client's first words, or None where it waits for ours."""
        if self.mechanism not in MECHANISMS:
            return Failed(malformed=True)
        if initial is None:
            return Challenge(b"Username:" if self.mechanism == LOGIN else b"")
        return self.heard(initial)

    def heard(self, text: bytes) -> Step:
        """What the client answers."""
        if len(text) > LONGEST:
            return Failed(malformed=True)
        if self.mechanism == PLAIN:
            return self._plain(text)
        return self._login(text) if self.mechanism == LOGIN else self._scram(text)

    def decided(self, agrees: bool) -> Step:
        """The answer to Password."""
        return Done(self.name) if agrees else Failed()

    def keyed(self, keys: Keys) -> Step:
        """The answer to Wanted."""
        self._keys = keys
        salt = binascii.b2a_base64(keys.salt, newline=False)
        self._server_first = b"r=%b,s=%b,i=%d" % (self._nonce, salt, keys.iterations)
        return Challenge(self._server_first)

    def _plain(self, text: bytes) -> Step:
        parts = text.split(b"\0")
        if len(parts) != 3:
            return Failed(malformed=True)
        acting, name, password = parts
        return self._asked(name, password) if acting in (b"", name) else Failed()

    def _login(self, text: bytes) -> Step:
        if self._state == 0:
            self._state, self.name = 1, text
            return Challenge(b"Password:")
        return self._asked(self.name, text)

    def _asked(self, name: bytes, password: bytes) -> Step:
        if not _sound(name, LONGEST_NAME) or not _sound(password, LONGEST_PASSWORD):
            return Failed(malformed=True)
        self.name = name
        return Password(name, password)

    def _scram(self, text: bytes) -> Step:
        if self._state == 0:
            return self._client_first(text)
        if self._state == 1:
            return self._client_final(text)
        return Done(self.name) if not text else Failed(malformed=True)

    def _client_first(self, text: bytes) -> Step:
        # gs2-header, which is FLAG,[a=NAME], and then n=NAME,r=NONCE and extensions that we know none of.
        flag, _, rest = text.partition(b",")
        acting, _, bare = rest.partition(b",")
        parts = bare.split(b",")
        if flag not in _BINDINGS or len(parts) < 2 or (acting and not acting.startswith(b"a=")):
            return Failed(malformed=True)
        name, nonce = _value(b"n", parts[0]), _value(b"r", parts[1])
        name = None if name is None else _unescaped(name)
        if not name or not nonce or any(part.startswith(b"m=") for part in parts):
            return Failed(malformed=True)
        known = name if all(32 < byte < 127 for byte in name) else prepared(name)
        if known is None or not _sound(known, LONGEST_NAME):
            return Failed(malformed=True)
        if acting and _unescaped(acting[2:]) != name:
            return Failed()  # nobody acts for somebody else
        self._header = text[: len(text) - len(bare)]
        self._first, self._nonce, self.name, self._state = bare, nonce + self._nonce, known, 1
        return Wanted(known)

    def _client_final(self, text: bytes) -> Step:
        # c=GS2-HEADER in base64,r=NONCE,p=PROOF
        without, comma, proof = text.rpartition(b",p=")
        parts = without.split(b",")
        if not comma or self._keys is None or len(parts) < 2:
            return Failed(malformed=True)
        bound, nonce, proved = decoded(_value(b"c", parts[0])), _value(b"r", parts[1]), decoded(proof)
        if bound is None or proved is None:
            return Failed(malformed=True)
        message = b",".join([self._first, self._server_first, without])
        if bound != self._header or nonce != self._nonce or not self._keys.proved_by(message, proved):
            return Failed()
        self._state = 2
        return Challenge(b"v=" + binascii.b2a_base64(self._keys.signature(message), newline=False))


def _sound(text: bytes, longest: int) -> bool:
    return 0 < len(text) <= longest and b"\0" not in text


def _value(letter: bytes, part: bytes) -> bytes | None:
    return part[2:] if part[:2] == letter + b"=" else None


def decoded(text: bytes | None) -> bytes | None:
    """What stands there in base64; None where it is none."""
    try:
        return None if text is None else binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


def _unescaped(name: bytes) -> bytes | None:
    # RFC 5802 5.1: `=2C` is a comma, `=3D` an equals sign, and no other `=` is allowed.
    pieces = name.split(b"=")
    if any(piece[:2] not in (b"2C", b"3D") for piece in pieces[1:]):
        return None
    return pieces[0] + b"".join((b"," if piece[:2] == b"2C" else b"=") + piece[2:] for piece in pieces[1:])
