"""users/passwords: who may log in by this system's own list, as text (passwords(5)).

    NAME:HASH:ACCOUNT:HOME:KEYS

The keys are those of SCRAM; the name of the line with the seed is empty. Lines that begin with # and lines
without a colon are remarks. The first line of a name counts.
"""

from __future__ import annotations

import binascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_NAME, LONGEST_PASSWORD = 128, 255  # bytes; with a time stamp they must fit into 512
HEADER = b"# Made by `qmail password`; see passwords(5).\n"


class Login:
    """One line. `account`: whom a program becomes, by default the one called `name`; `home`: by default its home."""

    __slots__ = ("account", "hash", "home", "keys", "name")

    def __init__(self, name: bytes, hash: bytes, account: bytes = b"", home: bytes = b"", keys: bytes = b"") -> None:
        self.name, self.hash, self.account, self.home, self.keys = name, hash, account, home, keys

    def line(self) -> bytes:
        """The line, with its end."""
        rest = b":".join((self.hash, self.account, self.home, self.keys)).rstrip(b":")
        return self.name + b":" + rest + b"\n"


def logins(text: bytes) -> dict[bytes, Login]:
    """All logins by their names."""
    found: dict[bytes, Login] = {}
    for line in text.split(b"\n"):
        name, colon, rest = line.partition(b":")
        if colon and name and not name.startswith(b"#"):
            found.setdefault(name, Login(name, *rest.split(b":", 3)))
    return found


def seed(text: bytes) -> bytes:
    """What stand-ins for unknown names are made from; nothing where the file has none."""
    for line in text.split(b"\n"):
        if line.startswith(b":"):
            try:
                return binascii.a2b_base64(line[1:])
            except binascii.Error:
                return b""
    return b""


def first(chance: bytes) -> bytes:
    """The text of a file without logins; `chance` is its seed."""
    return HEADER + b":" + binascii.b2a_base64(chance, newline=False) + b"\n"


def with_login(text: bytes, login: Login) -> bytes:
    """The text with this login in place of the one of its name, or at the end."""
    lines = list(_other_lines(text, login.name))
    if None in lines:
        lines[lines.index(None)] = login.line()
    else:
        lines.append(login.line())
    return b"".join(line for line in lines if line is not None)


def without(text: bytes, name: bytes) -> bytes:
    """The text without the login of this name."""
    return b"".join(line for line in _other_lines(text, name) if line is not None)


def _other_lines(text: bytes, name: bytes) -> Iterator[bytes | None]:
    """Each line with its end; None in place of the lines of `name`."""
    for line in text.removesuffix(b"\n").split(b"\n") if text else ():
        yield None if line.startswith(name + b":") else line + b"\n"


def may_be_name(name: bytes) -> bool:
    """Can a line begin with it?"""
    return (
        0 < len(name) <= LONGEST_NAME
        and not name.startswith(b"#")
        and not any(byte in b":\x7f" or byte < 32 for byte in name)
    )
