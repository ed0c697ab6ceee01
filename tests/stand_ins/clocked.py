"""One of our programs with a wall clock that can be set: `clocked.py FILE MODULE PROGRAM ARGUMENT...`

FILE holds the seconds by which its clock is ahead (or, below 0, behind), and may change at any time.
"""

from __future__ import annotations

import importlib
import sys

from qmail.host import clock
from qmail.host.program import run

path, module = sys.argv[1:3]
sys.argv[:3] = []
true_now = clock.now


def now() -> float:
    """What this clock says."""
    with open(path) as file:
        return true_now() + float(file.read() or 0)


clock.now = now
run(importlib.import_module(module).main)
