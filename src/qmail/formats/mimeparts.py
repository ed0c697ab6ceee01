"""A multipart message in a stream (RFC 2046 5.1): parts of unwanted types are left out, the others pass byte by byte.

Only the outermost parts are looked at.
"""

from __future__ import annotations

from qmail.formats.header_fields import name
from qmail.formats.mimetype import PLAIN, content_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 65536  # bytes of a line, or of a part's header, that are held


class Parts:
    """Feed the body as it comes; what comes out is what passes, with None where one more part may be put in.

    `wanted` is asked for the type of each part; `passed` counts those that pass.
    """

    __slots__ = ("_delimiter", "_dropping", "_head", "_long", "_rest", "_size", "_wanted", "passed")

    def __init__(self, boundary: bytes, wanted: Callable[[bytes], bool]) -> None:
        self._delimiter, self._wanted = b"--" + boundary, wanted
        self._rest = b""
        self._long = False  # the rest of a line that was too long to be looked at
        self._head: list[bytes] | None = None  # the delimiter and header of a part that is not decided
        self._size = 0  # of it
        self._dropping = False
        self.passed = 0

    def feed(self, data: bytes) -> list[bytes | None]:
        """Take these bytes."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        out: list[bytes | None] = []
        for line in lines:
            self._line(line + b"\n", out)
        if len(self._rest) > LARGEST:
            self._line(self._rest, out)
            self._rest, self._long = b"", True
        return out

    def end(self) -> list[bytes | None]:
        """Nothing more comes."""
        out: list[bytes | None] = []
        if self._rest:
            self._line(self._rest, out)
            self._rest = b""
        if self._head is not None:
            self._decide(out)
        return out

    def _line(self, line: bytes, out: list[bytes | None]) -> None:
        behind = None if self._long or not line.startswith(self._delimiter) else line[len(self._delimiter) :].strip()
        self._long = False
        if behind in (b"", b"--"):
            if self._head is not None:
                self._decide(out)
            self._dropping = False
            if behind:
                out += [None, line]
            else:
                self._head, self._size = [line], 0
        elif self._head is not None:
            self._head.append(line)
            self._size += len(line)
            if not line.strip(b"\r\n") or self._size > LARGEST:
                self._decide(out)
        elif not self._dropping:
            out.append(line)

    def _decide(self, out: list[bytes | None]) -> None:
        # The part's header is known.
        assert self._head is not None
        head, self._head = b"".join(self._head), None
        self._dropping = not self._wanted(_type(head.partition(b"\n")[2]))
        if not self._dropping:
            self.passed += 1
            out.append(head)


def _type(header: bytes) -> bytes:
    unfolded = header.replace(b"\r\n", b"\n").replace(b"\n ", b" ").replace(b"\n\t", b" ")
    fields = [line for line in unfolded.split(b"\n") if name(line).lower() == b"content-type"]
    return content_type(fields[0].partition(b":")[2]).name if fields else PLAIN.name
