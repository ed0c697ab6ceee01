"""The variables that a | line of a .qmail file finds in its environment (qmail-command(8))."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def of_address(user: bytes, home: bytes, local: bytes, ext: bytes, host: bytes) -> dict[bytes, bytes]:
    """What depends on the address alone. No value can hold a NUL."""
    named = {
        b"USER": user,
        b"HOME": home,
        b"LOCAL": local,
        b"HOST": host,
        b"RECIPIENT": local + b"@" + host,
        b"EXT": ext,
    }
    named.update(zip((b"EXT2", b"EXT3", b"EXT4"), _behind_hyphens(ext), strict=False))
    named.update(zip((b"HOST2", b"HOST3", b"HOST4"), _before_dots(host), strict=False))
    return named


def _behind_hyphens(ext: bytes) -> Iterator[bytes]:
    while True:
        ext = ext.partition(b"-")[2]
        yield ext


def _before_dots(host: bytes) -> Iterator[bytes]:
    # A name without a dot stays what it is: it does not become empty.
    while True:
        shorter, dot, _ = host.rpartition(b".")
        host = shorter if dot else host
        yield host
