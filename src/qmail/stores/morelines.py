"""Control files of many lines, compiled: control/NAME becomes control/NAME.cdb, as a whole or not at all."""

from __future__ import annotations

import os

from qmail.formats import cdb
from qmail.formats.verdict import Temporary
from qmail.host import durable, fds
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qmail.stores.home import Home

LARGEST = 1 << 28  # bytes; what it becomes is read whole by every server


def compile_lines(home: Home, name: bytes, keys: Callable[[Iterable[bytes]], Iterable[bytes]]) -> None:
    """Make the database of `control/name`, with an empty record for each of the `keys` of its lines.

    Lines have no blanks at their ends; empty ones and comments are left out. Raises Temporary.
    """
    source = b"control/" + name
    target, new = source + b".cdb", source + b".tmp"
    lines = (line.rstrip(b" \t") for line in _text(home, source).split(b"\n"))
    try:
        data = cdb.make((key, b"") for key in keys(line for line in lines if line and not line.startswith(b"#")))
        durable.replace_file(home.file(target), home.file(new), data)
    except OSError as error:
        raise Temporary(b"unable to write " + new + b", or to move it to " + target + b": " + reason(error)) from error


def _text(home: Home, source: bytes) -> bytes:
    try:
        descriptor = os.open(home.file(source), os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = fds.read_all(descriptor, LARGEST)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Temporary(b"unable to read " + source + b": " + reason(error)) from error
    if text is None:
        raise Temporary(source + b" is larger than 256 MiB")
    return text
