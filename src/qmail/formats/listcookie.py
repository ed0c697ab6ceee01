"""Cookies: what shows that whoever sends a command has got the mail in which we named it (ezmlm(5)).

    sc.1700000000.aojdgendlilnpclenipc-joe=example.org

is a purpose, the time when it was made, a code, and the address it is for. Only who knows the list's key can make
the code: it is an HMAC-SHA-256 of the other three, of which the first 80 bits are shown as letters from a to p.
"""

from __future__ import annotations

from qmail.formats.listaddress import dashed, number, spelled

LETTERS = 20  # of a code

_AS_LETTERS = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")


class Cookie:
    """One cookie. `seconds` since 1970; `address` is whom it is for."""

    __slots__ = ("address", "code", "purpose", "seconds")

    def __init__(self, purpose: bytes, seconds: int, address: bytes, code: bytes) -> None:
        self.purpose, self.seconds, self.address, self.code = purpose, seconds, address, code

    @property
    def text(self) -> bytes:
        """As it stands in an address, behind `LIST-`."""
        return b"%b.%d.%b-%b" % (self.purpose, self.seconds, self.code, dashed(self.address))

    def good(self, key: bytes, now: int, lifetime: int) -> bool:
        """Was it made with this key, for this purpose and address, and not too long ago (seconds)?"""
        from hmac import compare_digest

        genuine = compare_digest(_code(key, self.purpose, self.seconds, self.address), self.code)
        return genuine and 0 <= now - self.seconds <= lifetime


def make(key: bytes, purpose: bytes, seconds: int, address: bytes) -> Cookie:
    """A new cookie."""
    return Cookie(purpose, seconds, address, _code(key, purpose, seconds, address))


def parse(text: bytes) -> Cookie | None:
    """The cookie that `text` is, good or forged; None where it is none at all."""
    purpose, dot, rest = text.partition(b".")
    seconds, rest = number(rest)
    code, dash, address = rest[1:].partition(b"-")
    if not dot or seconds is None or rest[:1] != b"." or not dash or not address:
        return None
    return Cookie(purpose.lower(), seconds, spelled(address), code.lower())


def letters(data: bytes, size: int = LETTERS) -> bytes:
    """The beginning of some bytes, four bits a letter."""
    return data.hex().encode().translate(_AS_LETTERS)[:size]


def fingerprint(text: bytes) -> bytes:
    """Letters that stand for a text, for all to see (SHA-256): the names of files, the hashes of an index."""
    from hashlib import sha256

    return letters(sha256(text).digest())


def _code(key: bytes, purpose: bytes, seconds: int, address: bytes) -> bytes:
    # Mail systems may change the case of an address on its way.
    from hmac import digest

    return letters(digest(key, b"%b\0%d\0%b" % (purpose, seconds, address.lower()), "sha256"))
