"""What a program and qmail-tlsd say to each other about a connection: one line each way.

    server SECONDS\\n                         (with the connection) a client comes; its handshake may take so long
    yes PROTOCOL CIPHER BITS NAME\\n          it speaks TLS; what follows is plain text, both ways
    no REASON\\n                              it does not, and nothing follows

NAME is the server's name that the client asked for, `-` where it asked for none.
"""

from __future__ import annotations

LONGEST = 512  # bytes of a line
MOST_SECONDS = 600
_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789.-_")


class Broken(ValueError):
    """The other side does not speak like this."""


class Facts:
    """How a connection is protected. All are words: printable, without blanks."""

    __slots__ = ("bits", "cipher", "name", "protocol")

    def __init__(self, protocol: bytes, cipher: bytes, bits: bytes, name: bytes) -> None:
        self.protocol, self.cipher, self.bits, self.name = protocol, cipher, bits, name

    @property
    def line(self) -> bytes:
        """The line that says so."""
        return b"yes %b %b %b %b\n" % (self.protocol, self.cipher, self.bits, self.name)

    @property
    def variables(self) -> dict[bytes, bytes]:
        """The same for the environment of a program."""
        found = {b"SSL_PROTOCOL": self.protocol, b"SSL_CIPHER": self.cipher, b"SSL_CIPHER_USEKEYSIZE": self.bits}
        return found if self.name == b"-" else found | {b"SSL_TLS_SNI": self.name}


def request(seconds: int) -> bytes:
    """What goes with a connection whose handshake may take so many seconds."""
    return b"server %d\n" % min(max(seconds, 1), MOST_SECONDS)


def seconds(line: bytes) -> int:
    """How long the handshake may take. Raises Broken."""
    word, _, number = line.partition(b" ")
    digits = number[:-1]
    if word != b"server" or number[-1:] != b"\n" or not digits.isdigit() or len(digits) > 4:
        raise Broken("no request")
    return min(max(int(digits), 1), MOST_SECONDS)


def refusal(reason: str) -> bytes:
    """The line that says no."""
    text = reason.encode("ascii", "replace")[:200]
    return b"no " + bytes(byte if 32 <= byte < 127 else ord("?") for byte in text) + b"\n"


def server_name(asked: str) -> bytes:
    """The name a client asked for, as a word; `-` where there is none, or one that no host has."""
    name = asked.encode("ascii", "replace").lower()
    return name if name and len(name) <= 253 and _NAME.issuperset(name) else b"-"


def answer(line: bytes) -> Facts | None:
    """What a line, its end included, says; None where it says no. Raises Broken."""
    if line.startswith(b"no ") and line.endswith(b"\n"):
        return None
    words = line[:-1].split(b" ")
    if len(words) != 5 or words[0] != b"yes" or not line.endswith(b"\n") or not all(words):
        raise Broken("no answer")
    return Facts(*words[1:])
