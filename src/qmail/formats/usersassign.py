"""users/assign and what qmail-newu makes of it for users/cdb (qmail-users(5)).

    =local:user:uid:gid:home:dash:ext:      this address
    +loc:user:uid:gid:home:dash:pre:        every address that begins with loc
    .                                       the end

In the cdb a key is `!` and the lower-case address, with a NUL behind it where it must be the whole
address; the empty key holds the bytes that wildcards end in. A record is the six fields but the
address, each followed by a NUL, except the last.
"""

from __future__ import annotations

from qmail.formats.cdb import LARGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Bad(ValueError):
    """Not an assignment file, or not an assignment record."""


class Account:
    """Who answers for an address: the user whose `home` + `/.qmail` + `dash` + `ext` says what becomes of it."""

    __slots__ = ("dash", "ext", "gid", "home", "uid", "user")

    def __init__(self, user: bytes, uid: int, gid: int, home: bytes, dash: bytes, ext: bytes) -> None:
        self.user, self.uid, self.gid, self.home, self.dash, self.ext = user, uid, gid, home, dash, ext


def records(text: bytes) -> list[tuple[bytes, bytes]]:
    """The cdb records of an assignment file, that of the wildcards last. Raises Bad."""
    found: list[tuple[bytes, bytes]] = []
    wild = bytearray()
    for line in _lines(text):
        if line.startswith(b"."):
            found.append((b"", bytes(wild)))
            return found
        key, colon, rest = line.partition(b":")
        fields = rest.split(b":", 6)
        if not (colon and key and line.endswith(b"\n")) or b"\0" in line or len(fields) != 7:
            raise Bad("not an assignment")
        if key.startswith(b"+"):
            if len(key) > 1 and key[-1] not in wild:
                wild.append(key[-1])
            found.append((b"!" + key[1:].lower(), b"\0".join(fields[:6])))
        else:
            found.append((b"!" + key[1:].lower() + b"\0", b"\0".join(fields[:6])))
    raise Bad("no line with a dot at the end")


def look_up(find: Callable[[bytes], bytes | None], local: bytes) -> Account | None:
    """Who answers for the local part `local`, by a users/cdb that `find` asks; None where nobody does.

    A whole address goes before wildcards, a longer wildcard before a shorter one. Raises Bad.
    """
    wild = find(b"")
    if wild is None:
        raise Bad("no list of wildcard ends")
    wild = wild.lower()
    key = b"!" + local.lower()
    data = find(key + b"\0")
    if data is not None:
        return account(data)
    for size in range(len(key), 0, -1):
        if size == 1 or key[size - 1] in wild:
            data = find(key[:size])
            if data is not None:
                return account(data + local[size - 1 :])
    return None


def account(data: bytes) -> Account:
    """An account out of its six NUL-separated fields; one more NUL at the end does not count. Raises Bad."""
    fields = data.split(b"\0")
    if len(fields) < 6:
        raise Bad("a record of too few fields")
    user, uid, gid, home, dash, ext = fields[:6]
    return Account(user, _number(uid), _number(gid), home, dash, ext)


def record(who: Account) -> bytes:
    """The six fields, each followed by a NUL, as qmail-getpw prints them."""
    return b"%b\0%d\0%d\0%b\0%b\0%b\0" % (who.user, who.uid, who.gid, who.home, who.dash, who.ext)


def _number(text: bytes) -> int:
    # What does not begin with a digit is 0, and nothing is ever delivered as 0.
    digits = text[: len(text) - len(text.lstrip(b"0123456789"))]
    value = int(digits[:11] or b"0")
    return value if value <= LARGEST else 0


def _lines(text: bytes) -> list[bytes]:
    # With their newlines, which the last one may lack. (splitlines would end a line at a CR, too.)
    pieces = text.split(b"\n")
    return [piece + b"\n" for piece in pieces[:-1]] + [pieces[-1]] * bool(pieces[-1])
