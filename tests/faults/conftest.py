"""Faults are tried on single programs and on whole hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from journeys.conftest import host, make_host
from sending import Sending

__all__ = ["host", "make_host", "system"]


@pytest.fixture
def system(home: Path) -> Iterator[Sending]:
    """qmail-send with stand-ins for the spawners, not started yet."""
    sending = Sending(home)
    yield sending
    sending.close()
