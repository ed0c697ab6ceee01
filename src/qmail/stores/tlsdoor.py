"""Where qmail-tlsd is asked to speak TLS on a connection: the asking side."""

from __future__ import annotations

import os

from qmail.formats import tlsfacts
from qmail.host import localsocket, passing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

SOCKET = b"qt/socket"
HANDSHAKE = 60  # seconds for a client to finish it
PATIENCE = 10  # seconds for qmail-tlsd, besides


def is_there(home: Home) -> bool:
    """Does a qmail-tlsd seem to listen?"""
    return os.path.exists(home.file(SOCKET))


def knock(home: Home) -> int:
    """A connection to it, non-blocking. Raises OSError."""
    return localsocket.connect(home.file(SOCKET))


def hand_over(door: int, client: int, seconds: int = HANDSHAKE) -> None:
    """Let what is at the other end of `door` speak TLS with the client. Raises OSError."""
    link = passing.link(door)
    try:
        link.send(tlsfacts.request(seconds), [client], wait=False)
    finally:
        link.detach()


def secure(door: int, client: int) -> tlsfacts.Facts | None:
    """Pass the client and wait for the handshake: how the plain text on `door`, which then blocks, is protected.

    None: it failed, and `door` is closed. Raises OSError.
    """
    hand_over(door, client)
    line = _line(door)
    try:
        facts = tlsfacts.answer(line)
    except tlsfacts.Broken:
        facts = None
    if facts is None:
        os.close(door)
        return None
    os.set_blocking(door, True)
    return facts


def _line(door: int) -> bytes:
    # Byte by byte: what follows is not ours.
    import select

    line, poll = b"", select.poll()
    poll.register(door, select.POLLIN)
    while not line.endswith(b"\n") and len(line) < tlsfacts.LONGEST:
        if not poll.poll((HANDSHAKE + PATIENCE) * 1000):
            break
        try:
            byte = os.read(door, 1)
        except OSError:
            break
        if not byte:
            break
        line += byte
    return line
