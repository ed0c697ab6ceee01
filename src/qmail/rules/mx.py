"""Which addresses to try, and in which order (RFC 5321 5.1)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MOST_EXCHANGERS = 20  # best ones of a longer list
MOST_ADDRESSES = 8  # of one exchanger


class Exchanger:
    """A host that takes mail, with its preference (low is better) and packed addresses.

    `vouched`: DNSSEC says that it takes this mail (or nobody but we say so), `renamed`: for the domain that the
    recipient's is an alias of; `secure`: DNSSEC says that it has these addresses; `alias`: its name is another one's
    alias.
    """

    __slots__ = ("addresses", "alias", "name", "preference", "renamed", "secure", "vouched")

    def __init__(self, preference: int, name: bytes, addresses: Sequence[bytes] = (), *, vouched: bool = False) -> None:
        self.preference, self.name, self.addresses, self.vouched = preference, name, addresses, vouched
        self.secure = self.alias = self.renamed = False


def is_null(exchangers: Sequence[Exchanger]) -> bool:
    """Does the domain say that it takes no mail? (RFC 7505)"""
    return len(exchangers) == 1 and not exchangers[0].name


def ordered(exchangers: Iterable[Exchanger], chance: bytes) -> list[Exchanger]:
    """The best exchangers first, equal ones as `chance` (two random bytes each) will have it."""
    numbered = enumerate(exchanger for exchanger in exchangers if exchanger.name)
    keyed = [(each.preference, chance[2 * i : 2 * i + 2], i, each) for i, each in numbered]
    return [each for *_, each in sorted(keyed, key=lambda key: key[:3])[:MOST_EXCHANGERS]]


def before_ourselves(exchangers: Sequence[Exchanger], is_ours: Callable[[bytes], bool]) -> list[Exchanger]:
    """Those that are better than the best one that is this machine; all of them where none is."""
    ours = [each.preference for each in exchangers if any(is_ours(address) for address in each.addresses)]
    return [each for each in exchangers if not ours or each.preference < min(ours)]


def interleaved(addresses: Sequence[bytes]) -> list[bytes]:
    """IPv6 and IPv4 addresses in turn, IPv6 first (RFC 8305 4)."""
    long = [address for address in addresses if len(address) == 16]
    short = [address for address in addresses if len(address) == 4]
    mixed = [one for pair in zip(long, short, strict=False) for one in pair]
    shared = min(len(long), len(short))
    return (mixed + long[shared:] + short[shared:])[:MOST_ADDRESSES]
