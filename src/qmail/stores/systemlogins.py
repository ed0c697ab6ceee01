"""Who may log in as an account of the system: PAM decides where it has a file for `qmail`, else /etc/shadow.

Whatever the answer is, and for whatever name, the work of one hash has been done. Accounts with uid 0 are
never let in.
"""

from __future__ import annotations

import hashlib
import os

from qmail.formats import passwordhash, shadow
from qmail.host import clock, fds
from qmail.stores import hashing
from qmail.stores.admission import Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pwd import struct_passwd

SERVICE = b"qmail"  # of PAM
SHADOW = b"/etc/shadow"
LARGEST = 64 * 1024 * 1024  # bytes
DAY = 86400  # seconds


class Trouble(Exception):
    """No answer can be had now."""


def check(name: bytes, password: bytes, remote: bytes) -> Account | None:
    """The account of this name, if this is its password and it is open; `remote` is the client's address, for PAM.

    Raises Trouble.
    """
    from qmail.host import pam  # also where it is not asked: what is loaded must not depend on the name

    text = _shadow()
    line, known = shadow.find(text, name), _known(name)
    stored = line.hash if line else os.fsencode(known.pw_passwd) if known else b""
    if not pam.serves(SERVICE):
        agrees = _agrees(stored, password, name, text)
        open_today = line is None or line.counts(int(clock.now()) // DAY)
        return _account(known, []) if known and agrees and open_today else None
    try:
        passed = pam.check(SERVICE, name, password, remote)
    except pam.Trouble as trouble:
        raise Trouble(f"PAM: {trouble}") from trouble
    if passed is None:
        if not passwordhash.is_hash(stored):
            _agrees(stored, password, name, text)  # which pam_unix spares itself
        return None
    known = _known(passed.user)
    return _account(known, passed.variables) if known else None


def _agrees(stored: bytes, password: bytes, name: bytes, text: bytes) -> bool:
    """Is it the password? What can have none is refused, after the work of another account's hash."""
    usable = [each for each in shadow.hashes(text) if passwordhash.is_hash(each)] or [passwordhash.EXAMPLE]
    chance = hashlib.blake2b(name, key=hashlib.blake2b(text).digest(), digest_size=8).digest()
    example = usable[int.from_bytes(chance) % len(usable)]
    known = passwordhash.is_hash(stored)
    try:
        return hashing.agrees(stored if known else example, password) and known and bool(password)
    except hashing.Unable as error:
        raise Trouble(str(error)) from error


def _shadow() -> bytes:
    try:
        descriptor = os.open(SHADOW, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = fds.read_all(descriptor, LARGEST)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return b""  # the hashes are in the list of accounts
    except OSError as error:
        raise Trouble(f"{os.fsdecode(SHADOW)}: {error.strerror}") from error
    if text is None:
        raise Trouble(f"{os.fsdecode(SHADOW)} is larger than 64 MiB")
    return text


def _known(name: bytes) -> struct_passwd | None:
    import pwd

    try:
        return pwd.getpwnam(os.fsdecode(name))
    except (KeyError, ValueError):
        return None


def _account(entry: struct_passwd, variables: list[bytes]) -> Account | None:
    return Account(entry, variables=variables) if entry.pw_uid else None
