"""The talk with qmail-authd, on the packet socket qp/login: in each packet a letter and bytes, a connection a login.

    B  begin: ADDRESS NUL MECHANISM, and then, where the client said something with it, NUL and that
    R  what the client answers
    C  for the client, whose answer is awaited
    K  the client is who the bytes say     N  it is not     M  it speaks nonsense     Z  nobody can tell now

Or, where what users send is limited, in the first packet, and then one answer:

    S  count a message: USER NUL RECIPIENTS, a number
    K  it may go     L  not now: SECONDS, until it may be tried again     X  never: the most RECIPIENTS     Z  as above

qmail-authd hangs up after all answers but C.
"""

from __future__ import annotations

from qmail.protocols import sasl

BEGIN, RESPONSE, CHALLENGE = b"B", b"R", b"C"
DONE, REFUSED, MALFORMED, TROUBLE = b"K", b"N", b"M", b"Z"
COUNT, LATER, NEVER = b"S", b"L", b"X"
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


def count(user: bytes, recipients: int) -> bytes:
    """`user` wants to send a message to so many."""
    return b"%b%b\0%d" % (COUNT, user, recipients)


def parse_count(packet: bytes) -> tuple[bytes, int]:
    """User, and number of recipients. Raises Broken."""
    user, nul, number = packet[1:].partition(b"\0")
    if packet[:1] != COUNT or not user or not nul or not number.isdigit() or len(number) > 9:
        raise Broken("this counts nothing")
    return user, int(number)


def number(answer: bytes) -> int:
    """The number in LATER or NEVER; 0 where there is none."""
    digits = answer[1:]
    return int(digits) if digits.isdigit() and len(digits) < 10 else 0
