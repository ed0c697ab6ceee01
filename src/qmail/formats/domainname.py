"""Domain names beyond ASCII (IDNA2008, RFC 5890 to 5895): the one place where a U-label becomes its A-label.

    ascii(b"B\\xc3\\xbccher.example")    b"xn--bcher-kva.example"

Capitals become small and characters composed first (RFC 5895 2.1, 2.3), so that a name is found however it is typed;
which characters a label may have is IDNA2008's to say. A dot is the ASCII one. What is ASCII stays as it is: a label
`xn--...` is only a name, whatever it would stand for. Local parts are never converted: they are their owner's bytes.
"""

from __future__ import annotations

LONGEST = 253  # bytes of a name in ASCII (RFC 1035 2.3.4)


def ascii(domain: bytes) -> bytes | None:
    """The name as name servers have it, or None where a label of it is none. A dot may stand in front."""
    if domain.isascii():
        return domain
    import unicodedata

    try:
        import idna  # with its tables: only who sees such a name pays for them
    except ImportError:
        return None  # a home from before it came with the library: there are no such names

    labels = []
    try:
        for label in domain.decode("utf-8").split("."):
            if label.isascii():
                labels.append(label.encode())
            else:
                small = "".join([character.lower() for character in label])
                labels.append(idna.alabel(unicodedata.normalize("NFC", small)))
    except (UnicodeError, ValueError):
        return None  # idna's own errors are UnicodeErrors
    name = b".".join(labels)
    return name if len(name) <= LONGEST else None


def compared(domain: bytes) -> bytes:
    """What is equal for two ways to write one name, by U-labels or A-labels, with capitals or without."""
    return domain.lower() if domain.isascii() else (ascii(domain) or domain).lower()


def compared_address(address: bytes) -> bytes:
    """The same of an address; ASCII letters of a local part are the same in both cases, others are not."""
    if address.isascii():
        return address.lower()
    local, at, domain = address.rpartition(b"@")
    return local.lower() + at + compared(domain) if at else address.lower()


def downgraded(address: bytes) -> bytes:
    """An address with its domain in ASCII; as it is where that cannot be."""
    local, at, domain = address.rpartition(b"@")
    return local + at + (ascii(domain) or domain) if at else address


def is_address(address: bytes) -> bool:
    """Is this an address in UTF-8, and its domain one that has a form in ASCII (RFC 6531 3.3)?"""
    try:
        address.decode("utf-8")  # no overlong forms, no surrogates
    except UnicodeDecodeError:
        return False
    return ascii(address.rpartition(b"@")[2]) is not None if b"@" in address else True
