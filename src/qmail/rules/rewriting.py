"""How qmail-inject rewrites addresses: complete hosts, no source routes (qmail-header(5)).

An address list is read from its end, since only what follows a word tells what the word was: with a
host behind it a box, behind `<...>` a name, alone an address.
"""

from __future__ import annotations

from qmail.formats.header_tokens import (
    AT,
    ATOM,
    COLON,
    COMMA,
    COMMENT,
    DOT,
    GREATER,
    LESS,
    LITERAL,
    QUOTED,
    SEMICOLON,
    Malformed,
    tokens,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.formats.header_tokens import Token

_NAME = (COMMENT, ATOM, QUOTED, LITERAL, AT, DOT)  # what may stand in front of <...>


class Unparsable(ValueError):
    """A text that has to be an address, or a list of them, and is none. `text`: all of it."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


class Hosts:
    """What completes an address: the host of a bare box, the domain of a bare host, that of a host ending in `+`."""

    def __init__(self, default_host: bytes, default_domain: bytes, plus_domain: bytes) -> None:
        """Raises Unparsable where one of them cannot be read."""
        self._host = readable(b"@" + default_host)
        self._domain = readable(b"." + default_domain)
        self._plus = readable(b"." + plus_domain)

    def completed(self, address: Sequence[Token]) -> list[Token]:
        """The address with a complete host. Empty ones, and those at `@[]`, stay as they are."""
        words = list(address)
        if not words or (words[-1] == (LITERAL, b"") and words[-2:-1] and words[-2][0] == AT):
            return words
        while words and words[0][0] == AT:
            words = _without_route(words)
        if words:
            words = _without_ending(words)
        if not words:
            return words
        if not any(kind == AT for kind, _ in words):
            words += self._host
        kind, text = words[-1]
        if kind == ATOM and text.endswith(b"+"):
            words[-1:] = [(ATOM, text[:-1]), *self._plus]
        if _bare_host(words):
            words += self._domain
        return words


def readable(text: bytes) -> list[Token]:
    """The tokens of a text that has to be readable. Raises Unparsable."""
    try:
        return tokens(text)
    except Malformed:
        raise Unparsable(text) from None


def _without_route(words: list[Token]) -> list[Token]:
    for place, (kind, _) in enumerate(words):
        if kind == COLON:
            return words[place + 1 :]
    return []


def _without_ending(words: list[Token]) -> list[Token]:
    # The final dots of a host, and an @ with nothing behind it; a box alone loses one dot.
    if not any(kind == AT for kind, _ in words):
        return words[:-1] if words[-1][0] == DOT else words
    first = next(place for place, (kind, _) in enumerate(words) if kind == AT)
    end = len(words)
    while end > first and words[end - 1][0] in (DOT, AT):
        end -= 1
    return words[:end]


def _bare_host(words: list[Token]) -> bool:
    for kind, _ in reversed(words):
        if kind in (DOT, LITERAL):
            return False
        if kind == AT:
            return True
    return True


def rewrite(words: Sequence[Token], completed: Callable[[Sequence[Token]], list[Token]]) -> list[Token]:
    """The address list with each address replaced by `completed(address)`, which is called for the last one first.

    A comma is put where one is missing. Raises Malformed, perhaps after some addresses were seen.
    """
    return _Backwards(words, completed).read()


class _Backwards:
    """Reads a list from its end. `out` and `address` hold what was read, last token first."""

    def __init__(self, words: Sequence[Token], completed: Callable[[Sequence[Token]], list[Token]]) -> None:
        self.words, self.completed = words, completed
        self.at = len(words) - 1
        self.out: list[Token] = []
        self.address: list[Token] = []
        self.in_group = False
        self.word_fits = True  # may a word stand directly before what was read?

    def read(self) -> list[Token]:
        while self.at >= 0:
            kind = self.words[self.at][0]
            if kind in (ATOM, QUOTED, LITERAL):
                if not self.word_fits:
                    self.finish(comma=True)
                self.word_fits = False
                self.take(self.address)
            elif kind == COMMENT:
                self.take(self.out)
            elif kind == COMMA:
                self.finish()
                self.take(self.out)
                self.word_fits = True
            elif kind == GREATER:
                self.in_brackets()
            elif kind == SEMICOLON:
                self.group_end()
            elif kind == COLON:
                self.group_name()
            else:
                self.word_fits = True
                self.take(self.address)
        self.finish()
        self.out.reverse()
        return self.out

    def take(self, into: list[Token]) -> None:
        into.append(self.words[self.at])
        self.at -= 1

    def finish(self, *, comma: bool = False, empty: bool = False) -> None:
        """The address that was read is whole. `comma`: another one stands before it without a comma."""
        if self.address or empty:
            self.address.reverse()
            self.out += reversed(self.completed(self.address))
            self.address = []
            if comma:
                self.out.append((COMMA, b","))

    def in_brackets(self) -> None:
        self.finish(comma=True)
        self.take(self.out)
        while self.at >= 0 and self.words[self.at][0] not in (LESS, GREATER):
            self.take(self.address)
        if self.at >= 0 and self.words[self.at][0] == GREATER:
            raise Malformed("> before >")
        self.finish(empty=True)
        if self.at < 0:
            raise Malformed("> without <")
        self.take(self.out)
        while self.at >= 0 and self.words[self.at][0] in _NAME and not self.ends_address():
            self.take(self.out)
        if self.at >= 0 and self.words[self.at][0] == LESS:
            raise Malformed("< before <")
        self.word_fits = False

    def ends_address(self) -> bool:
        """Is the next word the literal of `box@[...]`? That is an address without a comma, and no name."""
        before = self.words[self.at - 1 : self.at]
        return self.words[self.at][0] == LITERAL and bool(before) and before[0][0] == AT

    def group_end(self) -> None:
        self.finish(comma=True)
        if self.in_group:
            raise Malformed("a group in a group")
        self.in_group = self.word_fits = True
        self.take(self.out)

    def group_name(self) -> None:
        self.finish()
        if not self.in_group:
            raise Malformed("a colon without a group")
        self.in_group = False
        while self.at >= 0 and self.words[self.at][0] != COMMA:
            self.take(self.out)
        if self.at >= 0:
            self.take(self.out)
        self.word_fits = True
