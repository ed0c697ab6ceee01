"""What stands in the place of a password's hash: a hash (crypt(5), argon2), or something that is none.

`!`, `*` and everything else that no password can make locks an account.
"""

from __future__ import annotations

_DES = frozenset(b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
ARGON2 = b"$argon2"
# The work of no account's hash, where there is none to take as an example.
EXAMPLE = b"$6$pyqmail.example$"


def is_hash(text: bytes) -> bool:
    """Can a password agree with it?"""
    if text.startswith(b"$"):
        return text.count(b"$") > 1
    return (len(text) == 13 or (len(text) == 20 and text.startswith(b"_"))) and _DES.issuperset(text.lstrip(b"_"))
