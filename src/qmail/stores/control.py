"""Control files (qmail-control(5)): missing is not unreadable is not empty.

A file that exists and cannot be read stops the program that asks: it never becomes a default, since
that is how an open relay is made.
"""

from __future__ import annotations

import errno
import os

from qmail.formats.verdict import Temporary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Stamp = tuple[int, ...] | None

BLANKS = b" \t\n"
LIMIT = 64 * 1024 * 1024  # bytes of one control file; more is an error, not a default


class Control:
    """The control directory of a home."""

    def __init__(self, home: bytes) -> None:
        self.directory = home + b"/control"

    def text(self, name: bytes) -> bytes | None:
        """The whole file, or None where it is missing. Raises Temporary where it cannot be read."""
        path = self.directory + b"/" + name
        try:
            with open(path, "rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if size > LIMIT:
                    raise Temporary(path + b" is larger than 64 MiB (#4.3.0)")
                return file.readall()
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise unreadable(path, error) from error

    def line(self, name: bytes) -> bytes | None:
        """The first line without blanks at its end, or None where the file is missing."""
        text = self.text(name)
        return None if text is None else text.partition(b"\n")[0].rstrip(BLANKS)

    def line_or_me(self, name: bytes) -> bytes | None:
        """The first line of `name`, else that of `me`, else None."""
        line = self.line(name)
        return self.line(b"me") if line is None else line

    def lines(self, name: bytes) -> list[bytes] | None:
        """The lines without blanks at their ends, without empty ones and comments; None where the file is missing."""
        text = self.text(name)
        if text is None:
            return None
        stripped = (line.rstrip(BLANKS) for line in text.split(b"\n"))
        return [line for line in stripped if line and not line.startswith(b"#")]

    def number(self, name: bytes, default: int) -> int:
        """The number that the first line begins with, or `default` where the file is missing or has no digit first."""
        line = self.line(name)
        digits = leading_digits(line or b"")
        return int(digits) if digits else default

    def stamps(self, names: Iterable[bytes]) -> list[Stamp]:
        """What tells whether one of these files has changed, come or gone since it was read."""
        return [_stamp(self.directory + b"/" + name) for name in names]


def _stamp(path: bytes) -> Stamp:
    try:
        status = os.stat(path)
    except OSError as error:
        return None if error.errno == errno.ENOENT else (error.errno or 0,)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def leading_digits(text: bytes) -> bytes:
    """The decimal digits that `text` begins with (at most 18 of them count)."""
    end = 0
    while end < len(text) and end < 18 and text[end : end + 1].isdigit():
        end += 1
    return text[:end]


def unreadable(path: bytes, error: OSError) -> Temporary:
    """What to raise for a file that is there and cannot be read."""
    reason = os.fsencode(error.strerror or str(error))
    return Temporary(b"unable to read " + path + b": " + reason + b" (#4.3.0)")
