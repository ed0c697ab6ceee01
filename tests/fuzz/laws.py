"""The law for everything that reads bytes from outside: it returns or raises its own error, and nothing else.

A target is a function that takes any bytes, reads them with a part of the product, and raises where the law, or a
stronger property of that part, does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

Check = Callable[[bytes], None]


class Target:
    """One part of the product that reads what others have written.

    `words`: pieces of its language, of which inputs are put together; `before`: what leads to where they count.
    """

    def __init__(self, name: str, check: Check, words: Sequence[bytes], before: bytes) -> None:
        self.name, self.check, self.words, self.before = name, check, tuple(words), before

    def long(self, size: int) -> Iterator[bytes]:
        """Inputs of about `size` bytes that say the same again and again."""
        for word in filter(None, self.words):
            yield self.before + word * (size // len(word))


class Group:
    """Targets that belong together: `target` puts a function into the list."""

    def __init__(self) -> None:
        self.targets: list[Target] = []

    def target(self, *words: bytes, before: bytes = b"") -> Callable[[Check], Check]:
        """A decorator; the target is called what the function is called, with hyphens."""

        def taken(check: Check) -> Check:
            self.targets.append(Target(check.__name__.replace("_", "-"), check, words, before))
            return check

        return taken


class Choices:
    """Input of several parts out of one run of bytes; where they end, everything is 0 and empty."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, most: int = 255) -> int:
        """One byte, as a number from 0 to `most`."""
        return (self.taken(1) or b"\0")[0] % (most + 1)

    def flag(self) -> bool:
        """Yes or no."""
        return bool(self.number(1))

    def taken(self, size: int) -> bytes:
        """At most so many bytes."""
        found = self._data[self._at : self._at + size]
        self._at += len(found)
        return found

    def text(self) -> bytes:
        """Up to 255 bytes, which the byte before them counts."""
        return self.taken(self.number())

    def texts(self, most: int) -> list[bytes]:
        """Up to `most` texts."""
        return [self.text() for _ in range(self.number(most))]

    def large(self) -> int:
        """A number of up to 8 bytes."""
        return int.from_bytes(self.taken(self.number(8)), "big")

    def rest(self) -> bytes:
        """What is left."""
        return self.taken(len(self._data))


def outcome(read: Callable[[], object], *errors: type[Exception]) -> object:
    """What reading gives: a value, or the class of one of its own errors. Anything else breaks the law."""
    try:
        return read()
    except errors as error:
        return type(error)


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """The same stream as it may arrive: whole, byte by byte, and in pieces of changing sizes."""
    yield [data] if data else []
    yield [data[at : at + 1] for at in range(len(data))]
    pieces, at, size = [], 0, sum(data[:64]) % 7
    while at < len(data):
        size = size * 5 % 7 + 1
        pieces.append(data[at : at + size])
        at += size
    yield pieces


def agreed(read: Callable[[list[bytes]], object], data: bytes) -> object:
    """What reading the stream gives, which must be the same however it is cut."""
    results = [read(pieces) for pieces in cuts(data)]
    for other in results[1:]:
        assert other == results[0], f"cut otherwise it is {other!r}, whole {results[0]!r}"
    return results[0]
