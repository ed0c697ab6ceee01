"""Which lines multilog takes (multilog(8), SELECTING LINES)."""

from __future__ import annotations

CHECKED = 1000  # bytes of a line that patterns are compared with, its time stamp included


def matches(pattern: bytes, line: bytes) -> bool:
    """Does the pattern match the whole of `line` (at most its first 1000 bytes)?

    A star matches everything up to the first occurrence of the byte that follows it in the pattern, and
    there is no second try; a star at the end matches the rest.
    """
    at = 0
    plain, star, pattern = pattern.partition(b"*")
    while True:
        if not line.startswith(plain, at):
            return False
        at += len(plain)
        if not star:
            return at == len(line)
        if not pattern:
            return True
        at = line.find(pattern[:1], at)
        if at < 0:
            return False
        plain, star, pattern = pattern.partition(b"*")
