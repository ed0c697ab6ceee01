"""IP addresses and networks as text: dotted decimal, RFC 4291 2.2, written back as RFC 5952 says."""

from __future__ import annotations

_MAPPED = 0xFFFF << 32  # ::ffff:0:0/96, IPv4 clients of an IPv6 socket (RFC 4291 2.5.5.2)


def v4(text: bytes) -> int | None:
    """The number of a dotted decimal IPv4 address, or None: four parts without leading zeros."""
    parts = text.split(b".")
    if len(parts) != 4:
        return None
    number = 0
    for part in parts:
        if not part.isdigit() or len(part) > 3 or (part[:1] == b"0" and part != b"0") or int(part) > 255:
            return None
        number = number << 8 | int(part)
    return number


def v4_text(number: int) -> bytes:
    """Dotted decimal."""
    return b"%d.%d.%d.%d" % (number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255)


def v6(text: bytes) -> int | None:
    """The number of an IPv6 address, or None. A zone (`fe80::1%eth0`) is not part of an address."""
    head, gap, tail = text.partition(b"::")
    first = _groups(head, last=not gap)
    rest = _groups(tail, last=True) if gap else []
    if first is None or rest is None:
        return None
    missing = 8 - len(first) - len(rest)
    if (missing < 1) if gap else missing:
        return None
    number = 0
    for group in first + [0] * missing + rest:
        number = number << 16 | group
    return number


def v6_text(number: int) -> bytes:
    """Lower case hexadecimal, the longest run of two or more zero groups shortened (RFC 5952 4)."""
    groups = [number >> shift & 0xFFFF for shift in range(112, -1, -16)]
    start, length, at = 0, 1, 0
    while at < 8:
        run = 0
        while at + run < 8 and not groups[at + run]:
            run += 1
        if run > length:
            start, length = at, run
        at += run or 1
    words = [b"%x" % group for group in groups]
    if length < 2:
        return b":".join(words)
    return b":".join(words[:start]) + b"::" + b":".join(words[start + length :])


def plain(text: bytes) -> bytes:
    """An address as the kernel writes it, without zone, an IPv4 client of an IPv6 socket as IPv4."""
    text = text.partition(b"%")[0]
    if text.startswith(b"::ffff:"):
        number = v6(text)
        if number is not None and number >> 32 == _MAPPED >> 32:
            return v4_text(number & 0xFFFFFFFF)
    return text


def network(text: bytes) -> tuple[int, int, int] | None:
    """(bits of the family, first address, prefix length) of `10.0.0.0/8`, `2001:db8::/32` or one address.

    None where it is neither. Bits behind the prefix count as zero.
    """
    address, slash, length_text = text.partition(b"/")
    bits, number = 32, v4(address)
    if number is None:
        bits, number = 128, v6(address)
    if number is None:
        return None
    length = bits
    if slash:
        if not length_text.isdigit() or len(length_text) > 3 or int(length_text) > bits:
            return None
        length = int(length_text)
    return bits, number >> (bits - length) << (bits - length), length


def _groups(text: bytes, *, last: bool) -> list[int] | None:
    # The 16-bit groups of one side of `::`; only the last side may end in dotted decimal.
    if not text:
        return []
    words = text.split(b":")
    groups = []
    if last and b"." in words[-1]:
        number = v4(words.pop())
        if number is None:
            return None
        groups = [number >> 16, number & 0xFFFF]
    numbers = []
    for word in words:
        if not 1 <= len(word) <= 4 or word.strip(b"0123456789abcdefABCDEF"):
            return None
        numbers.append(int(word, 16))
    return numbers + groups
