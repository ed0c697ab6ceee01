"""The line or block in front of a connection in which a proxy says whom it speaks for (PROXY protocol, 1 and 2).

    PROXY TCP4 CLIENT SERVER CLIENTPORT SERVERPORT\\r\\n
    \\r\\n\\r\\n\\0\\r\\nQUIT\\n, version and command, family, length (2 bytes), addresses, more

Whoever may send it may claim any address: it is read from listed proxies only, and from these always.
"""

from __future__ import annotations

from qmail.formats import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    Address = tuple[bytes, int]
    Ends = tuple[Address, Address]  # the client's, the server's

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_LINE = 107
LONGEST_BLOCK = 4096
_START = b"PROXY "
_SIZES = {0x11: 4, 0x21: 16}  # TCP over IPv4, TCP over IPv6: bytes of an address


class Malformed(ValueError):
    """This is no header, or a broken one."""


class Header:
    """A reader that never takes a byte of what follows the header.

    `ends`: (client, server) once `done`, None where the proxy speaks for itself (LOCAL, UNKNOWN).
    """

    __slots__ = ("_text", "done", "ends")

    def __init__(self) -> None:
        self._text = b""
        self.done = False
        self.ends: Ends | None = None

    def feed(self, seen: bytes) -> int:
        """How many of these bytes, which were only looked at, belong to the header. Raises Malformed."""
        had = len(self._text)
        text = self._text + seen
        if text[: len(SIGNATURE)] == SIGNATURE[: len(text)]:
            size = self._block(text)
        elif text[: len(_START)] == _START[: len(text)]:
            size = self._line(text)
        else:
            raise Malformed("neither version")
        self._text = text[:size]
        return size - had

    def _line(self, text: bytes) -> int:
        end = text.find(b"\n") + 1
        if (end or len(text)) > LONGEST_LINE:
            raise Malformed("too long a line")
        if end:
            self.done = True
            self.ends = _line_ends(text[:end])
        return end or len(text)

    def _block(self, text: bytes) -> int:
        size = 16
        if len(text) >= size:
            size += int.from_bytes(text[14:16], "big")
            if size > LONGEST_BLOCK:
                raise Malformed("too long a block")
            if len(text) >= size:
                self.done = True
                self.ends = _block_ends(text[:size])
        return min(size, len(text))


def _line_ends(line: bytes) -> Ends | None:
    words = line[:-2].split(b" ")
    if not line.endswith(b"\r\n") or len(words) < 2:
        raise Malformed("no CR, or no family")
    if words[1] == b"UNKNOWN":
        return None
    parse = {b"TCP4": ip.v4, b"TCP6": ip.v6}.get(words[1])
    if parse is None or len(words) != 6:
        raise Malformed("not four words behind TCP4 or TCP6")
    numbers = [parse(word) for word in words[2:4]]
    if None in numbers or not all(_is_port(word) for word in words[4:]):
        raise Malformed("no addresses, or no ports")
    write = ip.v4_text if words[1] == b"TCP4" else ip.v6_text
    client, server = [ip.plain(write(number or 0)) for number in numbers]
    return (client, int(words[4])), (server, int(words[5]))


def _is_port(word: bytes) -> bool:
    return word.isdigit() and len(word) <= 5 and int(word) <= 65535


def _block_ends(block: bytes) -> Ends | None:
    if block[12] not in (0x20, 0x21):
        raise Malformed("neither LOCAL nor PROXY of version 2")
    if block[12] == 0x20:
        return None
    size = _SIZES.get(block[13])
    if size is None:
        return None  # another family: the addresses of the connection are all there is
    if len(block) < 16 + 2 * size + 4:
        raise Malformed("shorter than its addresses")
    write = ip.v4_text if size == 4 else ip.v6_text
    numbers = [int.from_bytes(block[at : at + size], "big") for at in (16, 16 + size)]
    client, server = [ip.plain(write(number)) for number in numbers]
    ports = block[16 + 2 * size :]
    return (client, int.from_bytes(ports[:2], "big")), (server, int.from_bytes(ports[2:4], "big"))
