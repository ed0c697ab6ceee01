"""Carriage returns at line ends, put in or taken out of a stream that comes in pieces.

Each reader takes a piece and gives what is to be passed on; `end()` gives what was held back.
"""

from __future__ import annotations


class Kept:
    """Nothing is changed."""

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        return data

    def end(self) -> bytes:
        """Nothing was held back."""
        return b""


class Added(Kept):
    """Every LF gets a CR in front, whatever stands there."""

    def feed(self, data: bytes) -> bytes:
        """The piece with its CRs."""
        return data.replace(b"\n", b"\r\n")


class Completed(Kept):
    """An LF gets a CR in front where there is none."""

    def __init__(self) -> None:
        self._after_cr = False

    def feed(self, data: bytes) -> bytes:
        """The piece with the missing CRs."""
        first = b"\n" if self._after_cr and data.startswith(b"\n") else b""
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        return first + data[len(first) :].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Removed(Kept):
    """One CR in front of an LF goes."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The piece without them; a CR at its end waits for the next one."""
        text = (self._held + data).replace(b"\r\n", b"\n")
        self._held = b"\r" if text.endswith(b"\r") else b""
        return text[: len(text) - len(self._held)]

    def end(self) -> bytes:
        """The CR at the very end."""
        return self._held


def visible(data: bytes) -> bytes:
    """Text for a terminal that obeys none of it: control characters as ^X, eight-bit bytes as M-x (cat -v)."""
    return b"".join(_SHOWN[byte] for byte in data)


def _shown(byte: int) -> bytes:
    if byte >= 128:
        return b"M-" + (_control(byte - 128) or bytes((byte - 128,)))
    return bytes((byte,)) if byte in b"\t\n" else _control(byte) or bytes((byte,))


def _control(byte: int) -> bytes:
    return b"^" + bytes((byte ^ 64,)) if byte < 32 or byte == 127 else b""


_SHOWN = [_shown(byte) for byte in range(256)]
