"""What a sendmail-style .forward file asks for, as dot-forward understands it (dot-forward(1)).

Each line is a list of addresses as in a header field; `#` begins a comment line. An address without an
unquoted `@` may be the user himself (delivery goes on), or begin with `|`, a command.
"""

from __future__ import annotations

from qmail.formats.header_tokens import spoken
from qmail.rules.addresslines import addresses, included, is_bare

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
            for address in addresses(line):
                _order(address, found, user, host, hosts)
    return found


def _order(address: Sequence[Token], found: Orders, user: bytes | None, host: bytes | None, hosts: Hosts) -> None:
    text = spoken(address)
    bare = is_bare(address)
    himself = None if user is None or host is None else user.lower() + b"@" + host.lower()
    if (bare and user is not None and text.lower() == user.lower()) or text.lower() == himself:
        found.direct = True
    elif bare and text.startswith(b"|"):
        found.commands.append(text[1:])
    elif bare and (text.startswith(b"/") or included(address) is not None):
        raise Unsupported(text)
    else:
        whole = spoken(hosts.completed(address))
        if whole.lower() == himself:
            found.direct = True
        elif whole:
            found.recipients.append(whole)
