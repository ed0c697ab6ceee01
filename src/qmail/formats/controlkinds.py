"""The kinds of control files (qmail-control(5)), by what counts in them; controlfile.py has the table."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ME = b"me"  # as a default: the first line of control/me


class Line:
    """A file whose first line counts.

    `says`: a sentence with the value in place of %b. `default`: the value without the file, ME, or None.
    `number`: the value is the number that the line begins with. `unset`: the sentence where there is no default.
    """

    __slots__ = ("about", "default", "name", "number", "says", "unset", "used_by")

    def __init__(
        self,
        name: bytes,
        used_by: Iterable[bytes],
        default: bytes | None,
        says: bytes,
        about: str,
        *,
        number: bool = False,
        unset: bytes = b"",
    ) -> None:
        self.name, self.used_by, self.default = name, tuple(used_by), default
        self.says, self.about, self.number, self.unset = says, about, number, unset


class Lines:
    """A file of which each line counts, but empty ones and comments.

    `says`: a sentence for each line. `unset`: the sentence where there is no file. `told`: the same for a person,
    where programs of old look for `unset`. `new`: C qmail has no such file, and nothing is said where there is none.
    """

    __slots__ = ("about", "name", "new", "says", "told", "unset", "used_by")

    def __init__(
        self,
        name: bytes,
        used_by: Iterable[bytes],
        says: bytes,
        unset: bytes,
        about: str,
        *,
        told: bytes = b"",
        new: bool = False,
    ) -> None:
        self.name, self.used_by, self.says, self.unset, self.about = name, tuple(used_by), says, unset, about
        self.told, self.new = told or unset, new


class Compiled:
    """A constant database that a program makes from another control file, `source`. `new`: as that of Lines."""

    __slots__ = ("about", "name", "new", "source", "used_by")

    def __init__(self, name: bytes, used_by: Iterable[bytes], source: bytes, about: str, *, new: bool = False) -> None:
        self.name, self.used_by, self.source, self.about, self.new = name, tuple(used_by), source, about, new


class Whole:
    """A file that is no text of lines. `says`: what is said where there is one; C qmail has no such file."""

    __slots__ = ("about", "name", "says", "used_by")

    def __init__(self, name: bytes, used_by: Iterable[bytes], says: bytes, about: str) -> None:
        self.name, self.used_by, self.says, self.about = name, tuple(used_by), says, about
