"""Hashes of passwords as in /etc/shadow: crypt(3) of the system's library, by ctypes, since Python 3.13 has no module.

The kinds are the library's: with libxcrypt yescrypt ($y$), SHA-512 ($6$), SHA-256 ($5$), bcrypt ($2b$), MD5 ($1$)
and older ones; with musl all of these but yescrypt.
"""

from __future__ import annotations

import ctypes
import os

LIBRARIES = ("libcrypt.so.2", "libcrypt.so.1", None)  # None: the C library itself, as with musl
ROOM = 262_144  # bytes for struct crypt_data: 32,768 in libxcrypt, 131,232 in the C libraries before it
LONGEST_SETTING = 192  # bytes, CRYPT_GENSALT_OUTPUT_SIZE
_SALT = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Unavailable(Exception):
    """This system has no crypt(3)."""


def crypt(password: bytes, setting: bytes) -> bytes | None:
    """The hash of a password, made as `setting` says, which is a hash or its beginning.

    None: the library knows no such kind of hash. Raises Unavailable.
    """
    function = _library().crypt_r
    function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p), ctypes.c_char_p
    found: bytes | None = function(password, setting, ctypes.create_string_buffer(ROOM))
    return None if found is None or found.startswith(b"*") else found


def new_setting() -> bytes:
    """A setting with a new salt, of the kind that the library prefers; SHA-512 where it has no opinion."""
    out = ctypes.create_string_buffer(LONGEST_SETTING)
    make = getattr(_library(), "crypt_gensalt_rn", None)
    if make is not None:
        make.restype = ctypes.c_char_p
        found: bytes | None = make(None, ctypes.c_ulong(0), None, 0, out, LONGEST_SETTING)
        if found:
            return found
    return b"$6$" + bytes(_SALT[byte & 63] for byte in os.urandom(16)) + b"$"


def _library() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        if hasattr(library, "crypt_r"):
            return library
    raise Unavailable("there is no libcrypt")
