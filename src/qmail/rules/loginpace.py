"""How fast logins may be tried: failures slow down the address they come from, and the account they are for.

Nobody is locked out. An address, or an account asked for from addresses it is not known at, waits longer with each
failure; the owner at a known address waits for nobody else's failures. What is remembered is bounded, and fades.
"""

from __future__ import annotations

from qmail.formats import ip

FREE = 3  # failures that cost nothing
LONGEST = 30.0  # seconds
FADES = 600.0  # seconds after which a failure counts for half
MOST = 20_000  # addresses, accounts, and known pairs, each


class Pace:
    """Failures and successes, in seconds of one clock that only goes forward."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._failures: dict[tuple[bytes, bytes], tuple[float, float]] = {}  # kind and name: how many, when
        self._known: dict[tuple[bytes, bytes], None] = {}  # account and network that it has logged in from

    def wait(self, name: bytes, address: bytes, now: float) -> float:
        """Seconds that this attempt has to wait before it is looked at."""
        here = network(address)
        wait = self._wait((b"address", here), now)
        return wait if (name, here) in self._known else max(wait, self._wait((b"account", name), now))

    def failed(self, name: bytes, address: bytes, now: float) -> None:
        """An attempt had the wrong password, or the name does not exist."""
        for key in ((b"address", network(address)), (b"account", name)):
            count = self._count(key, now) + 1
            self._failures.pop(key, None)  # the latest stand last
            self._failures[key] = count, now
            if len(self._failures) > 2 * self._most:
                del self._failures[next(iter(self._failures))]

    def forgiven(self, name: bytes, address: bytes, now: float) -> None:
        """An attempt that was held to have failed, until it would be known, is undecided again."""
        for key in ((b"address", network(address)), (b"account", name)):
            if key in self._failures:
                self._failures[key] = max(self._count(key, now) - 1, 0.0), now

    def succeeded(self, name: bytes, address: bytes) -> None:
        """An attempt was right."""
        pair = name, network(address)
        self._known.pop(pair, None)
        self._known[pair] = None
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]

    def _wait(self, key: tuple[bytes, bytes], now: float) -> float:
        count = self._count(key, now)
        # Failures fade from the first moment on: three within some minutes are still three.
        return min(2.0 ** min(count - FREE, 10.0), LONGEST) if count > FREE - 0.5 else 0.0

    def _count(self, key: tuple[bytes, bytes], now: float) -> float:
        count, when = self._failures.get(key, (0.0, now))
        return float(count * 0.5 ** ((now - when) / FADES))


def network(address: bytes) -> bytes:
    """What one client can have many addresses of: of IPv6 the first 64 bits, else the address."""
    number = ip.v6(address) if b":" in address else None
    return address if number is None else ip.v6_text(number >> 64 << 64)
