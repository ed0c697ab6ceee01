"""/etc/shadow (shadow(5)): the hash of each account's password, and until when it counts.

A line is NAME:HASH:CHANGED:LEAST:MOST:WARN:INACTIVE:EXPIRES:, the times in days since 1970.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Shadow:
    """What a line says. `hash`: see `hash_of_password`; the numbers in days, None where there is none."""

    __slots__ = ("changed", "expires", "hash", "most")

    def __init__(self, line: bytes) -> None:
        fields = [*line.split(b":"), *[b""] * 8]
        self.hash = fields[1]
        self.changed, self.most, self.expires = _days(fields[2]), _days(fields[4]), _days(fields[7])

    def counts(self, today: int) -> bool:
        """Is the account open today, and its password not one that must be changed first?"""
        if self.expires is not None and today >= self.expires:
            return False
        if self.changed == 0:
            return False
        return self.changed is None or self.most is None or today <= self.changed + self.most


def find(text: bytes, name: bytes) -> Shadow | None:
    """The line of this account."""
    if not name or b":" in name or b"\n" in name:
        return None
    at = (b"\n" + text).find(b"\n" + name + b":")
    return Shadow(text[at:].partition(b"\n")[0]) if at >= 0 else None


def hashes(text: bytes) -> Iterator[bytes]:
    """What stands in the place of each account's hash."""
    for line in text.split(b"\n"):
        yield line.partition(b":")[2].partition(b":")[0]


def _days(field: bytes) -> int | None:
    return int(field) if field.isdigit() and len(field) < 18 else None
