"""tcpserver's options as values."""

from __future__ import annotations

from qmail.formats.options import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LETTERS = b"dDvqQhHrR1UXx:t:u:g:l:b:B:c:pPoOC:y:"
NUMBERS = {b"c": 40, b"C": 0, b"b": 1024, b"t": 26, b"u": 0, b"g": 0}
# Of two opposite letters the later one counts.
_OPPOSITES = {
    letter: frozenset(group) - {letter} for group in (b"hH", b"pP", b"rR", b"oO", b"dD", b"vQq") for letter in group
}


class Settings:
    """What the options say.

    `limit`, `per_client`: connections (0: no limit of that kind); `backlog`; `patience`: seconds for ident;
    `uid`, `gid`: 0 where they are to stay; `rules`, `local_host`: None where not given; `proxies`: addresses
    and networks; `verbosity`: 0 nothing, 1 what goes wrong, 2 everything. A number is read as scan_ulong
    does: what does not begin with a digit is 0.
    """

    def __init__(self, found: Sequence[tuple[bytes, bytes]], environ: Mapping[bytes, bytes]) -> None:
        numbers = dict(NUMBERS)
        words: dict[bytes, bytes] = {}
        flags = set(b"hPROQ")
        self.odd: list[tuple[bytes, bytes]] = []  # numbers that are none
        for letter, value in found:
            if letter in numbers:
                numbers[letter] = number(value)
                if not value[:1].isdigit():
                    self.odd.append((letter, value))
            elif letter == b"U":
                for name, variable in ((b"u", b"UID"), (b"g", b"GID")):
                    if variable in environ:
                        numbers[name] = number(environ[variable])
            elif letter in b"xBly":
                words[letter] = value
            else:
                flags -= _OPPOSITES.get(letter[0], frozenset())
                flags.add(letter[0])
        self.limit, self.per_client, self.backlog = numbers[b"c"], numbers[b"C"], numbers[b"b"]
        self.patience, self.uid, self.gid = numbers[b"t"], numbers[b"u"], numbers[b"g"]
        self.proxies = [peer for peer in words.get(b"y", b"").replace(b",", b" ").split() if peer]
        self.rules, self.local_host, self.banner = words.get(b"x"), words.get(b"l"), words.get(b"B", b"")
        self.verbosity = 2 if flags.issuperset(b"v") else 0 if flags.issuperset(b"q") else 1
        (
            self.asks_host,
            self.paranoid,
            self.asks_info,
            self.keeps_route,
            self.delays,
            self.prints_port,
            self.may_lack_rules,
        ) = (letter in flags for letter in b"hprod1X")

    @property
    def asks_names(self) -> bool:
        """Is the DNS asked about connections?"""
        return self.asks_host or self.local_host is None

    @property
    def inquires(self) -> bool:
        """Is there anything to find out about a connection before it is decided?"""
        return bool(self.asks_names or self.asks_info or self.proxies)


def settings(words: Sequence[bytes], environ: Mapping[bytes, bytes]) -> tuple[Settings, list[bytes]]:
    """The settings, and the words behind the options. Raises formats.options.Wrong."""
    found, rest = options(words, LETTERS)
    return Settings(found, environ), rest


def number(text: bytes) -> int:
    """The number that `text` begins with, else 0; too large a one is cut to 18 digits."""
    end = 0
    while end < min(len(text), 18) and 48 <= text[end] <= 57:
        end += 1
    return int(text[:end] or b"0")
