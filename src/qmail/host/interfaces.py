"""This machine's own addresses, asked of the kernel (rtnetlink(7))."""

from __future__ import annotations

import _socket
from struct import Struct

from qmail.host import clock

_HEAD = Struct("=IHHII")  # length, type, flags, sequence, port
_ADDRESS = Struct("=BBBBI")  # family, prefix length, flags, scope, interface
_ATTRIBUTE = Struct("=HH")  # length, type
_GET_ADDRESSES, _NEW_ADDRESS, _DONE, _ERROR = 22, 20, 3, 2
_REQUEST_DUMP = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_ANY = frozenset((b"\0" * 4, b"\0" * 16))  # "this host"


def addresses() -> frozenset[bytes]:
    """Every address of every interface, 4 or 16 bytes each, and those that mean any. Raises OSError."""
    found = set(_ANY)
    netlink = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
    try:
        netlink.settimeout(10)
        netlink.send(_HEAD.pack(_HEAD.size + 8, _GET_ADDRESSES, _REQUEST_DUMP, 1, 0) + b"\0" * 8)
        while _gather(netlink.recv(65536), found):
            pass
    finally:
        netlink.close()
    return frozenset(found)


def leads_here(address: bytes, own: frozenset[bytes]) -> bool:
    """Does a connection to this packed address end on this machine, whose `addresses` are `own`?"""
    if len(address) == 16 and address[:12] == bytes(10) + b"\xff\xff":
        address = address[12:]  # IPv4 in IPv6's clothes (RFC 4291 2.5.5.2)
    if len(address) == 4:
        return address in own or address[0] in (0, 127)
    return address in own or address == bytes(15) + b"\1"


def packed(literal: bytes) -> bytes | None:
    """The bytes of an address literal, `192.0.2.1` or `IPv6:2001:db8::1` (RFC 5321 4.1.3), or None.

    The four numbers are decimal, also behind zeros.
    """
    try:
        if literal[:5].lower() == b"ipv6:":
            return _socket.inet_pton(_socket.AF_INET6, literal[5:].decode("ascii"))
        numbers = literal.split(b".")
        return bytes(map(int, numbers)) if len(numbers) == 4 and all(map(bytes.isdigit, numbers)) else None
    except (OSError, ValueError):
        return None


class Own:
    """Is this address literal one of this machine? The kernel's answer counts for 10 seconds. Raises OSError."""

    __slots__ = ("_addresses", "_until")

    def __init__(self) -> None:
        self._addresses: frozenset[bytes] = frozenset()
        self._until = 0.0

    def __call__(self, literal: bytes) -> bool:
        address = packed(literal)
        if address is None:
            return False
        if clock.monotonic() >= self._until:
            self._addresses, self._until = addresses(), clock.monotonic() + 10
        return address in self._addresses


def _gather(packet: bytes, found: set[bytes]) -> bool:
    # Take the addresses out of one answer; False at the end of them.
    at = 0
    while at + _HEAD.size <= len(packet):
        length, kind, *_ = _HEAD.unpack_from(packet, at)
        if kind in (_DONE, _ERROR) or length < _HEAD.size:
            return False
        if kind == _NEW_ADDRESS:
            _attributes(packet[at + _HEAD.size + _ADDRESS.size : at + length], found)
        at += length + 3 & ~3
    return True


def _attributes(message: bytes, found: set[bytes]) -> None:
    at, fields = 0, dict[int, bytes]()
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            break
        fields[kind] = message[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
    # Where both are told (a point-to-point link), IFA_ADDRESS is the other end.
    address = fields.get(_IFA_LOCAL, fields.get(_IFA_ADDRESS))
    if address is not None:
        found.add(address)
