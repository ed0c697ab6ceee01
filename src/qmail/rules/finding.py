"""What an examination found, in two sentences: what is so, and what to do about it."""

from __future__ import annotations


class Finding:
    """One thing worth saying. `blocks`: nothing may be changed before it is dealt with."""

    __slots__ = ("blocks", "do", "what")

    def __init__(self, what: bytes, do: bytes, *, blocks: bool = False) -> None:
        self.what, self.do, self.blocks = what, do, blocks

    @property
    def text(self) -> bytes:
        """Two lines for a person; odd bytes, as in hostile file names, are `?`."""
        mark = b"in the way: " if self.blocks else b""
        return _plain(mark + self.what) + b"\n    " + _plain(self.do) + b"\n"


def _plain(text: bytes) -> bytes:
    return bytes(byte if 32 <= byte != 127 else ord("?") for byte in text)
