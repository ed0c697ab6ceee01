"""The clock: wall time for names and records, monotonic time for waiting."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds since 1970, UTC. May jump."""
    return time.time()


def monotonic() -> float:
    """Seconds since some moment. Never jumps."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Do nothing for so long."""
    time.sleep(seconds)
