"""What a sendmail-style .forward file asks for, as dot-forward understands it (dot-forward(1)).

Each line is a list of addresses as in a header field; `#` begins a comment line. An address without an
unquoted `@` may be the user himself (delivery goes on), or begin with `|`, a command.
"""

from __future__ import annotations

from qmail.formats.header_tokens import AT, COLON, COMMA, GREATER, LESS, SEMICOLON, Malformed, spoken, tokens
from qmail.rules.rewriting import Unparsable, rewrite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.formats.header_tokens import Token
    from qmail.rules.rewriting import Hosts


class Unsupported(ValueError):
    """A mailbox file or an :include: file, which dot-forward does not do. `path`: which."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


class Orders:
    """What to do. `direct`: the user's own delivery goes on. `commands`: for sh. `recipients`: complete addresses."""

    def __init__(self) -> None:
        self.direct = False
        self.commands: list[bytes] = []
        self.recipients: list[bytes] = []

    def __bool__(self) -> bool:
        return self.direct or bool(self.commands or self.recipients)


def orders(text: bytes, user: bytes | None, host: bytes | None, hosts: Hosts) -> Orders:
    """Read a .forward file. `user` and `host`: whose it is. Raises Unparsable or Unsupported."""
    found = Orders()
    for line in text.split(b"\n"):
        if not line.startswith(b"#"):
            for address in _addresses(line):
                _order(address, found, user, host, hosts)
    return found


def _addresses(line: bytes) -> list[Sequence[Token]]:
    found: list[Sequence[Token]] = []

    def seen(address: Sequence[Token]) -> list[Token]:
        found.append(tuple(address))
        return []

    try:
        rewrite(_without_groups(tokens(line)), seen)
    except Malformed:
        raise Unparsable(line) from None
    return found[::-1]


def _without_groups(words: list[Token]) -> list[Token]:
    # There are no groups here, so that a colon divides like a comma; but not within <@route:box@host>.
    plain, inside = [], False
    for kind, text in words:
        inside = kind == LESS or (inside and kind != GREATER)
        plain.append((COMMA, b",") if kind in (COLON, SEMICOLON) and not inside else (kind, text))
    return plain


def _order(address: Sequence[Token], found: Orders, user: bytes | None, host: bytes | None, hosts: Hosts) -> None:
    text = spoken(address)
    bare = not any(kind == AT for kind, _ in address)
    if bare and user is not None and text.lower() == user.lower():
        found.direct = True
    elif bare and text.startswith(b"|"):
        found.commands.append(text[1:])
    elif bare and text.startswith(b"/"):
        raise Unsupported(text)
    else:
        whole = spoken(hosts.completed(address))
        if user is not None and host is not None and whole.lower() == user.lower() + b"@" + host.lower():
            found.direct = True
        elif whole:
            found.recipients.append(whole)
