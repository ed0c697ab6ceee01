"""One password against one hash, whose work it is whatever the answer, and hashes for new passwords.

Argon2 needs argon2-cffi, an extra that is loaded where such a hash is met; everything else is crypt(3).
"""

from __future__ import annotations

import os
from _operator import _compare_digest as same  # what hmac offers, without what hmac imports

from qmail.formats.passwordhash import ARGON2
from qmail.host import libcrypt

# OWASP's first choice for argon2id: small enough for fifty logins at once, and for what softlimit leaves.
PASSES, KIBIBYTES, LANES, SALT, LENGTH = 2, 19_456, 1, 16, 32


class Unable(Exception):
    """This hash cannot be computed here, or not now."""


def agrees(stored: bytes, password: bytes) -> bool:
    """Is this the password that the hash was made of? Raises Unable."""
    if stored.startswith(ARGON2):
        return _argon2_agrees(stored, password)
    try:
        made = libcrypt.crypt(password, stored)
    except libcrypt.Unavailable as error:
        raise Unable(str(error)) from error
    if made is None:
        raise Unable("crypt(3) does not know a kind of hash")
    return same(made, stored)


def fresh(password: bytes) -> bytes:
    """A new hash: argon2id where argon2-cffi is installed, else what crypt(3) prefers. Raises Unable."""
    try:
        from argon2.low_level import Type, hash_secret
    except ImportError:
        try:
            made = libcrypt.crypt(password, libcrypt.new_setting())
        except libcrypt.Unavailable as error:
            raise Unable(str(error)) from error
        if made is None:
            raise Unable("crypt(3) makes no hash") from None
        return made
    return hash_secret(password, os.urandom(SALT), PASSES, KIBIBYTES, LANES, LENGTH, Type.ID)


def _argon2_agrees(stored: bytes, password: bytes) -> bool:
    try:
        from argon2 import exceptions
        from argon2.low_level import Type, verify_secret
    except ImportError:
        raise Unable("a hash is argon2, and argon2-cffi is not installed") from None
    kinds = {b"argon2id": Type.ID, b"argon2i": Type.I, b"argon2d": Type.D}
    try:
        return verify_secret(stored, password, kinds[stored.split(b"$")[1]])
    except exceptions.VerifyMismatchError:
        return False
    except (exceptions.Argon2Error, exceptions.InvalidHash, KeyError, MemoryError) as error:
        raise Unable(f"argon2: {error}") from error
