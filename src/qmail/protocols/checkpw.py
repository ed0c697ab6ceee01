"""The talk with qmail-checkpwd, on the packet socket ql/checkpw: one question and one answer, a connection each.

ADDRESS NUL NAME NUL PASSWORD           where the client is, and what it says
K  it is who it says     N  it is not     Z  nobody can tell now
"""

from __future__ import annotations

from qmail.protocols import login, sasl

YES, NO, TROUBLE = login.DONE, login.REFUSED, login.TROUBLE
LONGEST = sasl.LONGEST_NAME + sasl.LONGEST_PASSWORD + 256  # bytes of a packet


class Broken(ValueError):
    """The other side does not speak this protocol."""


def question(address: bytes, name: bytes, password: bytes) -> bytes:
    """Is this the password of that name? None of the three has a NUL."""
    return b"\0".join([address, name, password])


def parse(packet: bytes) -> tuple[bytes, bytes, bytes]:
    """Address, name and password. Raises Broken."""
    parts = packet.split(b"\0")
    if len(packet) > LONGEST or len(parts) != 3 or not parts[1] or not parts[2]:
        raise Broken("this asks nothing")
    return parts[0], parts[1], parts[2]
