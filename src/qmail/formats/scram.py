"""What a server keeps of a password for SCRAM-SHA-256 (RFC 5802, RFC 7677), as text in RFC 5803's form.

    SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY       (salt and keys in base64)

With it a server can let in who knows the password, and cannot log in itself anywhere.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac

from qmail.formats.saslprep import prepared

SCHEME = b"SCRAM-SHA-256"
# RFC 7677 4 asks for 4,096 or more. A stolen file is as weak as the weakest thing in it, so it is the most that every
# client computes: Cyrus SASL, and with it Postfix, mutt and others, refuse more than 65,536.
ITERATIONS = 65_536
MOST_ITERATIONS = 10_000_000
SALT = 16  # bytes
KEY = 32  # bytes


class Keys:
    """Salt and iterations, which the client is told, and the two keys, which stay here."""

    __slots__ = ("iterations", "salt", "server", "stored")

    def __init__(self, iterations: int, salt: bytes, stored: bytes, server: bytes) -> None:
        self.iterations, self.salt, self.stored, self.server = iterations, salt, stored, server

    def text(self) -> bytes:
        """As it is written down."""
        salt, stored, server = (binascii.b2a_base64(each, newline=False) for each in self._parts())
        return b"%b$%d:%b$%b:%b" % (SCHEME, self.iterations, salt, stored, server)

    def proved_by(self, message: bytes, proof: bytes) -> bool:
        """Does the client know the password? `message`: RFC 5802's AuthMessage; `proof`: its ClientProof."""
        if len(proof) != KEY:
            return False
        signature = _mac(self.stored, message)
        client = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
        return hmac.compare_digest(hashlib.sha256(client).digest(), self.stored)

    def signature(self, message: bytes) -> bytes:
        """RFC 5802's ServerSignature: that we know the password too."""
        return _mac(self.server, message)

    def _parts(self) -> tuple[bytes, bytes, bytes]:
        return self.salt, self.stored, self.server


def made(password: bytes, salt: bytes, iterations: int) -> Keys | None:
    """The keys of a password in UTF-8; None where SASLprep does not allow it, so that no client could send it."""
    salted = _salted(password, salt, iterations)
    if salted is None:
        return None
    return Keys(iterations, salt, hashlib.sha256(_mac(salted, b"Client Key")).digest(), _mac(salted, b"Server Key"))


def answer(password: bytes, salt: bytes, iterations: int, message: bytes) -> tuple[bytes, bytes] | None:
    """The client's side: RFC 5802's ClientProof for its AuthMessage, and the ServerSignature that must come back.

    None as `made`.
    """
    salted = _salted(password, salt, iterations)
    if salted is None:
        return None
    key = _mac(salted, b"Client Key")
    signature = _mac(hashlib.sha256(key).digest(), message)
    proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
    return proof, _mac(_mac(salted, b"Server Key"), message)


def read(text: bytes) -> Keys | None:
    """The keys as they were written down; None where this is something else."""
    try:
        scheme, info, value = text.split(b"$")
        count, salt = info.split(b":")
        stored, server = (binascii.a2b_base64(each, strict_mode=True) for each in value.split(b":"))
        found = Keys(int(count), binascii.a2b_base64(salt, strict_mode=True), stored, server)
    except ValueError:
        return None
    sound = scheme == SCHEME and 0 < found.iterations <= MOST_ITERATIONS and len(stored) == len(server) == KEY
    return found if sound and found.salt else None


def _salted(password: bytes, salt: bytes, iterations: int) -> bytes | None:
    plain = password if password and all(32 <= byte < 127 for byte in password) else prepared(password)
    return None if plain is None else hashlib.pbkdf2_hmac("sha256", plain, salt, iterations)


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")
