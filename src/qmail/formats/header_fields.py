"""A message's header as fields, read from a stream, each field byte for byte as it came (RFC 5322 2.2).

The header ends at an empty line, or before the first line that belongs to no field: such a message
lacks the empty line. A `From ` line of an mbox becomes a field of its own, `MBOX-Line`.
"""

from __future__ import annotations

LARGEST = 16 * 1024 * 1024  # bytes of one header
MBOX_LINE = b"MBOX-Line: "

_PRINTABLE = bytes(range(33, 127))


class TooLarge(ValueError):
    """A header of more than LARGEST bytes."""


class Header:
    """Feed what comes; when `body` is not None the header is whole, and `body` holds what came behind it.

    `fields`: each with its newline. `body` begins with the empty line, also where it was missing. What takes the
    fields as they come (`taken`) never holds more than one of them and what was fed last.
    """

    def __init__(self) -> None:
        self.fields: list[bytes] = []
        self.body: bytes | None = None
        # Not lists of pieces: joining them takes 80 bytes a piece.
        self._field = bytearray()  # the one that may go on
        self._rest = bytearray()  # of a line that has no end yet
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take these bytes. Raises TooLarge."""
        if self.body is not None:
            self.body += data
            return
        self._size += len(data)
        end = data.rfind(b"\n") + 1
        if end:
            self._lines(data, end)
        else:
            self._rest += data
        if self._size - len(self.body or b"") > LARGEST:
            raise TooLarge(f"a header of more than {LARGEST} bytes")

    def _lines(self, data: bytes, end: int) -> None:
        """Take the lines that these bytes complete; what is behind `end` has no newline yet."""
        whole = bytes(self._rest) + data[:end]
        self._rest = bytearray(data[end:])
        at = 0
        for line in whole.split(b"\n")[:-1]:
            if not self._line(line):
                gap = b"" if not line else b"\n"
                self.body = gap + whole[at:] + data[end:]
                return
            at += len(line) + 1

    def end(self) -> None:
        """Nothing more comes; a last line without a newline gets one."""
        if self.body is None:
            line = bytes(self._rest)
            if line and not self._line(line):
                self.body = b"\n" + line + b"\n"
                return
            self._finish()
            self.body = b""

    def taken(self) -> list[bytes]:
        """The fields that became whole since the last time."""
        fields, self.fields = self.fields, []
        return fields

    def _line(self, line: bytes) -> bool:
        """Take one line. False: it belongs to no field, and the header ended before it."""
        if line[:1] in (b" ", b"\t") and self._field:
            self._field += line + b"\n"
            return True
        self._finish()
        if line.startswith(b"From "):
            self._field = bytearray(MBOX_LINE + line + b"\n")
        elif name(line):
            self._field = bytearray(line + b"\n")
        return bool(self._field)

    def _finish(self) -> None:
        if self._field:
            self.fields.append(bytes(self._field))
            self._field = bytearray()


def name(field: bytes) -> bytes:
    """The name of a field as it is written, without blanks before the colon; empty where this is no field."""
    written, colon, _ = field.partition(b":")
    written = written.rstrip(b" \t")
    return b"" if not colon or written.translate(None, _PRINTABLE) else written
