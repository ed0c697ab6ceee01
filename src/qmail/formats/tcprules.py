"""Rules for connections: the text lines of tcprules, their records in a cdb, and the order of look-up.

    ADDRESS:allow,NAME="value"      ADDRESS:deny

The order of the lines means nothing. A client is looked up under one key after another, and the first
key that exists decides alone (tcprules(1)):

    INFO@IP, INFO@=HOST             where TCPREMOTEINFO is set
    IP, =HOST
    1.2.3.  1.2.  1.                networks of the address, longest first
    =.example.org  =.org  =         suffixes of the name, longest first, where TCPREMOTEHOST is set
    the empty key

`1.2.3.4-9` and `10.0.0.0/12` are written out as the keys they stand for (`10.0.` to `10.15.`), a longer
prefix before a shorter one. IPv6 addresses and networks stand in brackets, `[2001:db8::1]` and
`[2001:db8::/32]`; the record LENGTHS says which prefix lengths the file has, as one byte each, longest first.
A record holds `D` for deny and `+NAME=value` for each variable, each with a NUL behind it.
"""

from __future__ import annotations

from qmail.formats import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Find = Callable[[bytes], bytes | None]

LENGTHS = b"[/]"
DENY = b"D\0"
MOST_SAME = 100  # records of one key


class Malformed(ValueError):
    """A line that is no rule. `line` as it stands there, `number` from 1, `expected` for a person."""

    def __init__(self, line: bytes, number: int, expected: bytes) -> None:
        super().__init__(line)
        self.line, self.number, self.expected = line, number, expected


class Rule:
    """One line: its place, its address as written, its record, and the (key, loss) pairs it stands for.

    `loss`: how many bits of the key the line left open (a network that was written out as several keys has
    some). Of the rules with one key the one with the least loss counts, of these the first.
    """

    __slots__ = ("address", "data", "keys", "number")

    def __init__(self, number: int, address: bytes, data: bytes, keys: list[tuple[bytes, int]]) -> None:
        self.number, self.address, self.data, self.keys = number, address, data, keys

    @property
    def denies(self) -> bool:
        """Does it refuse the connection?"""
        return self.data.startswith(DENY)

    @property
    def text(self) -> bytes:
        """The line, without its variables."""
        return self.address + (b":deny" if self.denies else b":allow")


class Decision:
    """What the rules say about a client: the deciding key (None: no rule fits), refusal, variables to set (else)."""

    __slots__ = ("denied", "key", "variables")

    def __init__(self, key: bytes | None, data: bytes) -> None:
        words = data.split(b"\0")[:-1]
        self.key = key
        self.denied = any(word.startswith(b"D") for word in words)
        self.variables = [] if self.denied else [word[1:] for word in words if word.startswith(b"+")]


def rules(lines: Iterable[bytes]) -> Iterator[Rule]:
    """The rules in these lines. Blank lines, comments and lines without a colon are none. Raises Malformed."""
    for number, line in enumerate(lines, 1):
        text = line.rstrip(b"\n\t ")
        if text and not text.startswith(b"#") and b":" in text:
            yield _rule(text, number)


def records(compiled: Iterable[Rule]) -> Iterator[tuple[bytes, bytes]]:
    """The (key, data) pairs for the cdb, in the order in which they are to be written: of one key the first decides.

    No key stands there more than MOST_SAME times: many would be slow to write and to look up.
    """
    pairs = [(loss, key, rule.data) for rule in compiled for key, loss in rule.keys]
    # Stable: rules of one loss keep the order of their lines.
    pairs.sort(key=lambda pair: pair[0])
    count: dict[bytes, int] = {}
    for _, key, data in pairs:
        count[key] = count.get(key, 0) + 1
        if count[key] <= MOST_SAME:
            yield key, data
    lengths = sorted({_length(key) for key in count if _is_network(key)}, reverse=True)
    if lengths:
        yield LENGTHS, bytes(lengths)


def decide(find: Find, address: bytes, host: bytes | None, info: bytes | None) -> Decision:
    """Look a client up. `find` gives the record of a key, or None, and raises whatever it likes."""
    for key in keys(address, host, info, lambda: find(LENGTHS) or b""):
        data = find(key)
        if data is not None:
            return Decision(key, data)
    return Decision(None, b"")


def keys(address: bytes, host: bytes | None, info: bytes | None, lengths: Callable[[], bytes]) -> Iterator[bytes]:
    """The keys under which a client is looked up, in order. `lengths` gives the record LENGTHS."""
    six = ip.v6(address) if b":" in address else None
    exact = address if six is None else b"[" + ip.v6_text(six) + b"]"
    if info is not None:
        yield info + b"@" + exact
        if host is not None:
            yield info + b"@=" + host
    yield exact
    if host is not None:
        yield b"=" + host
    yield from _prefixes(address) if six is None else _networks(six, lengths())
    if host is not None:
        dot = host.find(b".")
        while dot >= 0:
            yield b"=" + host[dot:]
            dot = host.find(b".", dot + 1)
        yield b"="
    yield b""


def client(address: bytes) -> bytes:
    """Who counts as one client: an IPv4 address, or an IPv6 /64, which one machine may use as it likes."""
    number = ip.v6(address) if b":" in address else None
    return address if number is None else _network_key(number >> 64 << 64, 64)


def overruled(compiled: Iterable[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """(earlier, later) lines of which a reader from top to bottom expects the earlier one to decide.

    The earlier one covers every client of the later one and says the opposite, yet the later one is
    more specific and decides. The first such pair of each later line.
    """
    first: dict[bytes, tuple[Rule, int]] = {}
    lengths: set[int] = set()
    for rule in compiled:
        earlier = [each for key, loss in rule.keys for each in _covering(key, loss, first, lengths)]
        opposite = [each for each in earlier if each.denies != rule.denies]
        if opposite:
            yield min(opposite, key=lambda each: each.number), rule
        for key, loss in rule.keys:
            if key not in first or loss < first[key][1]:
                first[key] = rule, loss
            if _is_network(key):
                lengths.add(_length(key))


def _covering(key: bytes, loss: int, first: dict[bytes, tuple[Rule, int]], lengths: set[int]) -> Iterator[Rule]:
    # The earlier rules that this key overrules: those with a wider key, and a wider network with the same one.
    if key in first:
        if first[key][1] > loss:
            yield first[key][0]
        return
    for wider in _wider(key, lengths):
        if wider in first:
            yield first[wider][0]


def _wider(key: bytes, lengths: set[int]) -> Iterator[bytes]:
    # The keys that every client of this key would also be found under.
    _, at, rest = key.rpartition(b"@")
    if at:
        yield rest
    if rest.startswith(b"="):
        yield from list(keys(b"", rest[1:], None, bytes))[2:]
    elif rest.startswith(b"["):
        network = ip.network(rest[1:-1])
        if network:
            yield from _networks(network[1], bytes(sorted(length for length in lengths if length < network[2])))
    else:
        yield from _prefixes(rest.removesuffix(b"."))
    if key:
        yield b""


def _prefixes(address: bytes) -> Iterator[bytes]:
    dot = address.rfind(b".")
    while dot >= 0:
        yield address[: dot + 1]
        dot = address.rfind(b".", 0, dot)


def _networks(number: int, lengths: bytes) -> Iterator[bytes]:
    for length in lengths:
        if length <= 128:  # a file that tcprules has not made may say anything
            yield _network_key(number >> (128 - length) << (128 - length), length)


def _network_key(number: int, length: int) -> bytes:
    return b"[%b/%d]" % (ip.v6_text(number), length)


def _is_network(key: bytes) -> bool:
    return key.startswith(b"[") and b"/" in key


def _length(key: bytes) -> int:
    return int(key.rpartition(b"/")[2].removesuffix(b"]"))


def _rule(text: bytes, number: int) -> Rule:
    end = _address_end(text, number)
    address, instructions = text[:end], text[end + 1 :]
    data, expected = _data(instructions)
    if expected:
        raise Malformed(text, number, expected)
    try:
        return Rule(number, address, data, _keys(address))
    except ValueError as error:
        raise Malformed(text, number, str(error).encode()) from None


def _address_end(text: bytes, number: int) -> int:
    # The colon behind the address; those inside brackets belong to it.
    start = text.rfind(b"@", 0, text.find(b":")) + 1
    if text[start : start + 1] != b"[":
        return text.find(b":")
    end = text.find(b"]:", start)
    if end < 0:
        raise Malformed(text, number, b"an IPv6 address or network in brackets, as in [2001:db8::/32]:allow")
    return end + 1


def _data(text: bytes) -> tuple[bytes, bytes]:
    # (record, what was expected instead where it is wrong)
    if text.startswith(b"deny"):
        data, at = DENY, 4
    elif text.startswith(b"allow"):
        data, at = b"", 5
    else:
        return b"", b"allow or deny behind the colon (an IPv6 address stands in brackets)"
    while at < len(text):
        equals = text.find(b"=", at + 1)
        if text[at : at + 1] != b"," or equals < 0:
            return b"", b'a comma and NAME="value", or the end of the line'
        quote = text[equals + 1 : equals + 2]
        close = text.find(quote, equals + 2) if quote else -1
        if close < 0:
            return b"", b"a value in quotes behind " + text[at + 1 : equals + 1]
        data += b"+" + text[at + 1 : equals + 1] + text[equals + 2 : close] + b"\0"
        at = close + 1
    return data, b""


def _keys(address: bytes) -> list[tuple[bytes, int]]:
    # Raises ValueError with what was expected.
    info, at, rest = address.rpartition(b"@")
    if rest.startswith(b"[") and rest.endswith(b"]"):
        network = ip.network(rest[1:-1])
        if network is None or network[0] != 128:
            raise ValueError("an IPv6 address or network in the brackets, as in [2001:db8::/32]:allow")
        _, number, length = network
        key = b"[" + ip.v6_text(number) + b"]" if length == 128 else _network_key(number, length)
        return [(info + at + key, 0)]
    if b"=" in address or at:
        return [(address, 0)]
    if b"-" in address:
        return [(key, 0) for key in _range(address)]
    network = ip.network(address) if b"/" in address else None
    return _octets(network[1], network[2]) if network else [(address, 0)]


def _range(address: bytes) -> Iterator[bytes]:
    # 1.2.3.4-9 and 10.2-3. ; only the first range counts, and one that is upside down holds nothing.
    dash = address.find(b"-")
    left = address.rfind(b".", 0, dash) + 1
    right = address.find(b".", dash)
    right = len(address) if right < 0 else right
    low, high = address[left:dash], address[dash + 1 : right]
    if (low + high).strip(b"0123456789"):
        raise ValueError("numbers on both sides of the dash")
    for number in range(_number(low), min(_number(high), 255) + 1):
        yield address[:left] + b"%d" % number + address[right:]


def _number(digits: bytes) -> int:
    return int(digits[-20:] or b"0") if len(digits.lstrip(b"0")) < 20 else 1 << 64


def _octets(number: int, length: int) -> list[tuple[bytes, int]]:
    # An IPv4 network as addresses or prefixes that end in a dot: 10.0.0.0/12 is 10.0. to 10.15.
    whole = max(1, (length + 7) // 8)  # octets that a key names
    step = 1 << (32 - 8 * whole)
    addresses = range(number, number + (1 << (32 - length)), step)
    texts = (b".".join(ip.v4_text(each).split(b".")[:whole]) for each in addresses)
    return [(text + (b"." if whole < 4 else b""), 8 * whole - length) for text in texts]
