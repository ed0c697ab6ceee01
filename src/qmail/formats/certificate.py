"""An X.509 certificate (RFC 5280 4.1), as far as its keeper asks: from when to when it counts, for which names,
and for which key."""

from __future__ import annotations

import binascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LARGEST = 1 << 20  # bytes of a file
BEGIN, END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
KEY_BEGIN, KEY_END = b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----"
_SEQUENCE, _SET, _OBJECT, _OCTETS, _UTC, _GENERAL = 0x30, 0x31, 0x06, 0x04, 0x17, 0x18
_EXTENSIONS, _VERSION, _DNS_NAME = 0xA3, 0xA0, 0x82
_ALTERNATIVES, _COMMON_NAME = bytes.fromhex("551d11"), bytes.fromhex("550403")  # 2.5.29.17, 2.5.4.3


class Broken(ValueError):
    """This is no certificate."""


class Certificate:
    """`begins`, `ends`: seconds since 1970. `names`: DNS names, perhaps with `*`; else the common name.

    `key`: the SubjectPublicKeyInfo (4.1.2.7), in DER.
    """

    __slots__ = ("begins", "ends", "key", "names")

    def __init__(self, begins: int, ends: int, names: list[bytes], key: bytes) -> None:
        self.begins, self.ends, self.names, self.key = begins, ends, names, key

    def covers(self, host: bytes) -> bool:
        """Is it for this host?"""
        return covers(self.names, host)


def covers(names: Iterable[bytes], host: bytes) -> bool:
    """Is one of these names, perhaps with `*` for one label, the first (RFC 6125 6.4.3), this host's?"""
    host = host.lower()
    above = host.partition(b".")[2]
    return any(name.lower() in (host, b"*." + above) for name in names)


def first(pem: bytes) -> Certificate:
    """The first certificate in the text of a PEM file, which is the one of the host itself. Raises Broken."""
    der = _between(pem, BEGIN, END)
    if der is None:
        raise Broken("no certificate")
    return read(der)


def key(pem: bytes) -> bytes:
    """The public key, in DER, of the first certificate in a PEM file, or one that stands there alone. Raises Broken."""
    alone = None if BEGIN in pem else _between(pem, KEY_BEGIN, KEY_END)
    return first(pem).key if alone is None else alone


def _between(pem: bytes, begin: bytes, end: bytes) -> bytes | None:
    # The bytes of the first such part of a PEM file (RFC 7468), None where there is none. Raises Broken.
    _, begun, rest = pem.partition(begin)
    text, ended, _ = rest.partition(end)
    if not begun or not ended:
        return None
    try:
        return binascii.a2b_base64(text)
    except ValueError as error:
        raise Broken("no base64") from error


def read(der: bytes) -> Certificate:
    """A certificate in its binary form. Raises Broken."""
    try:
        return _read(der)
    except (ValueError, IndexError) as error:
        raise Broken("no certificate that can be read") from error


def _read(der: bytes) -> Certificate:
    ((_, whole),) = _parts(der, _SEQUENCE)
    fields = list(_parts(_inside(whole)))
    if fields[0][0] == _VERSION:
        del fields[0]
    # serial number, algorithm, issuer, validity, subject, key, ...
    begins, ends = (_seconds(kind, text) for kind, text in _parts(fields[3][1]))
    names: list[bytes] = []
    for kind, text in fields[6:]:
        if kind == _EXTENSIONS:
            names = list(_alternatives(text))
    return Certificate(begins, ends, names or list(_common(fields[4][1])), _encoded(*fields[5]))


def _encoded(kind: int, contents: bytes) -> bytes:
    # A value with its tag and its length, which DER writes in one way only.
    size = len(contents)
    if size < 128:
        return bytes((kind, size)) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((kind, 0x80 | len(length))) + length + contents


def _parts(data: bytes, wanted: int | None = None) -> Iterator[tuple[int, bytes]]:
    # The values that follow each other in `data`: (tag, contents). All must be `wanted`. Raises ValueError.
    at = 0
    while at < len(data):
        kind, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            if not 0 < count <= 4:
                raise ValueError("a length that cannot be")
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        if at + size > len(data) or (wanted is not None and kind != wanted):
            raise ValueError("another shape")
        yield kind, data[at : at + size]
        at += size


def _inside(data: bytes) -> bytes:
    # What is in the sequence that `data` begins with.
    for _, contents in _parts(data, _SEQUENCE):
        return contents
    raise ValueError("nothing")


def _seconds(kind: int, text: bytes) -> int:
    # YYMMDDHHMMSSZ up to 2049, YYYYMMDDHHMMSSZ after.
    if kind == _UTC:
        text = (b"19" if text[:2] >= b"50" else b"20") + text
    elif kind != _GENERAL:
        raise ValueError("no time")
    if len(text) != 15 or text[-1:] != b"Z":
        raise ValueError("no time")
    year = int(text[:4])
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
    # Days since 1970: the year is taken to begin in March.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _alternatives(extensions: bytes) -> Iterator[bytes]:
    for _, extension in _parts(_inside(extensions), _SEQUENCE):
        pieces = list(_parts(extension))
        if pieces[0] == (_OBJECT, _ALTERNATIVES) and pieces[-1][0] == _OCTETS:
            for kind, name in _parts(_inside(pieces[-1][1])):
                if kind == _DNS_NAME:
                    yield name


def _common(subject: bytes) -> Iterator[bytes]:
    for _, part in _parts(subject, _SET):
        for _, pair in _parts(part, _SEQUENCE):
            (_, kind), (_, value) = _parts(pair)
            if kind == _COMMON_NAME:
                yield value
