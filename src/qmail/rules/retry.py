"""When to try again, and when to give up (qmail-send(8)).

The time between attempts grows with the square root of a message's age: the next one is at
birth + (sqrt(age) + skip)², skip being 10 for local and 20 for remote recipients. All times are whole
seconds since 1970.
"""

from __future__ import annotations

from math import isqrt

SKIP = (10, 20)  # local, remote
DELAY = 4 * 3600  # seconds after which a sender may hear that his message waits
AFTER_TROUBLE = 123  # seconds until something that the system refused is tried again


def next_attempt(birth: int, now: int, channel: int) -> int:
    """The time of the attempt that follows one made now."""
    return birth + (isqrt(max(now - birth, 0)) + SKIP[channel]) ** 2


def expired(birth: int, now: int, lifetime: int) -> bool:
    """Is an attempt that begins now the last one?"""
    return now > birth + lifetime


def told_of_delay(birth: int, now: int, channel: int) -> bool:
    """Is an attempt made now the one whose deferral a sender hears of who asked to? No other one is so long."""
    return birth + DELAY <= now < next_attempt(birth, birth + DELAY, channel)


def longest_wait(lifetime: int) -> int:
    """No attempt is further ahead than this, unless the clock was set back meanwhile."""
    # (root + skip)² - age, where root² is at most the age.
    return max(2 * isqrt(lifetime) * skip + skip**2 for skip in SKIP) + AFTER_TROUBLE
