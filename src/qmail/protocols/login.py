"""The talk with qmail-authd, on the packet socket qp/login: in each packet a letter and bytes, a connection a login.

    B  begin: ADDRESS NUL MECHANISM, and then, where the client said something with it, NUL and that
    R  what the client answers
    C  for the client, whose answer is awaited
    K  the client is who the bytes say     N  it is not     M  it speaks nonsense     Z  nobody can tell now

qmail-authd hangs up after K, N, M and Z.
"""

from __future__ import annotations

from qmail.protocols import sasl

BEGIN, RESPONSE, CHALLENGE = b"B", b"R", b"C"
DONE, REFUSED, MALFORMED, TROUBLE = b"K", b"N", b"M", b"Z"
VERDICTS = DONE + REFUSED + MALFORMED + TROUBLE
LONGEST = sasl.LONGEST + 256  # bytes of a packet


class Broken(ValueError):
    """The other side does not speak this protocol."""


def begin(address: bytes, mechanism: bytes, initial: bytes | None) -> bytes:
    """A client at `address` wants to log in."""
    return b"\0".join([BEGIN + address, mechanism] if initial is None else [BEGIN + address, mechanism, initial])


def parse_begin(packet: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Address, mechanism, and the client's first words. Raises Broken."""
    parts = packet[1:].split(b"\0", 2)
    if packet[:1] != BEGIN or len(parts) < 2:
        raise Broken("this begins no login")
    return parts[0], parts[1], parts[2] if len(parts) > 2 else None
