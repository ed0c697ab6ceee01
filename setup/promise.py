"""The figures of docs/promise.md: `promise.py FIGURES` writes them anew, from what proofs and soak have recorded.

FIGURES has a line of JSON for each (tests/figures.py). The last of those about the same thing counts.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
DOCUMENT = TOP / "docs/promise.md"
BEGIN, END = "<!-- figures: make promise -->\n", "<!-- end of figures -->\n"

Value = str | int | float | Mapping[str, int] | None
Line = Mapping[str, Value]
ABOUT = ("proof", "model", "workload", "program", "error")  # what a line is about; all else was counted
COLUMNS = {
    "model": "disk", "workload": "what happens", "program": "whose calls", "error": "what they return",
    "total": "there are", "run": "different ones, looked at", "restarted": "started again",
    "accepted": "messages accepted",
    "kills": "processes killed", "full": "times a disk was full", "bad": "bad talks", "lost": "lost",
    "damaged": "damaged", "orphans": "orphans", "wrong": "to the wrong people", "duplicates": "twice", "left": "queued",
    "warm": "KiB when warm", "end": "KiB at the end", "seconds": "seconds",
}  # fmt: skip


def proofs() -> dict[str, str]:
    """What is proved: name to words, as tests/figures.py has them."""
    spec = importlib.util.spec_from_file_location("figures", TOP / "tests/figures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = module.PROOFS
    return found


def last(lines: Iterable[Line]) -> list[Line]:
    """Of lines about the same thing the last one."""
    found: dict[tuple[Value, ...], Line] = {}
    for line in lines:
        found[tuple(line.get(key) for key in ABOUT)] = line
    return list(found.values())


def table(lines: list[Line]) -> list[str]:
    """The lines of a table of one proof."""
    columns = [key for key in COLUMNS if any(line.get(key) not in (None, {}) for line in lines)]
    rows = [[COLUMNS[key] for key in columns], ["---"] * len(columns)]
    rows += [[cell(line.get(key)) for key in columns] for line in lines]
    return ["| " + " | ".join(row) + " |" for row in rows]


def cell(value: Value) -> str:
    """One figure, for a person."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count:,}" for name, count in sorted(value.items()) if count) or "0"
    if isinstance(value, str):
        return value.replace("_", " ").replace("|", "\\|")
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def figures(lines: list[Line], when: float) -> str:
    """Everything between the marks."""
    day = time.strftime("%Y-%m-%d", time.gmtime(when))
    machine = f"{platform.system()} {platform.release().partition('-')[0]}, {os.cpu_count()} processors"
    parts = [f"Recorded until {day} ({machine}, Python {platform.python_version()})."]
    for name, words in proofs().items():
        of_it = [line for line in last(lines) if line["proof"] == name]
        if of_it:
            parts.append("\n".join([f"**{name[0].upper()}{name[1:]}**: {words}.", "", *table(of_it)]))
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Returns the exit code."""
    path = Path(sys.argv[1])
    if not path.exists():
        print("promise: nothing was recorded yet: make prove and make soak do that", file=sys.stderr)
        return 1
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    head, begin, rest = DOCUMENT.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    assert begin and end, f"{DOCUMENT} has no place for figures"
    DOCUMENT.write_text(head + begin + "\n" + figures(lines, path.stat().st_mtime) + "\n" + end + tail)
    return 0


if __name__ == "__main__":
    sys.exit(main())
