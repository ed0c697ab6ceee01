"""compare.py [--runs N] [--only SERVER] [--disk DISK] [--write] [WORKLOAD...]: ours and Postfix in turn, as ratios.

Run as root. With --write, the tables in docs/performance.md are made anew.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from disks import DISKS
from servers import PLACE, TOP, Ours, Postfix, SingleUser, account, remove_old_maildirs
from workloads import ONCE, SLOW, WORKLOADS, Figures

PAGE = TOP / "docs/performance.md"
BEGIN, END = "<!-- made by `make bench` -->\n", "<!-- end -->\n"
ALONE = ("smtp-1", "smtp-10")  # what is compared between our two modes
Row = tuple[str, str, list[float]]  # workload, what was measured, the median of each server
Table = tuple[str, list[str], list[Row]]  # where, which servers


def main() -> int:
    """Measure, print, stop everything. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each (default 3)")
    parser.add_argument("--only", choices=("pyqmail", "postfix"), help="one server, no ratios")
    parser.add_argument("--disk", choices=[*DISKS], action="append", help="where to measure (default: on each)")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    options = parser.parse_args()
    if os.geteuid():
        print("bench: needs root, to install two servers with their users", file=sys.stderr)
        return 100
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    tables: list[Table] = []
    names = options.workloads or [name for name in WORKLOADS if name not in SLOW]
    for disk in options.disk or DISKS:
        with DISKS[disk](PLACE) as words:
            print(f"on {words}", flush=True)
            servers = [server for server in (Ours(), Postfix()) if options.only in (None, server.name)]
            tables.append((words, [server.name for server in servers], measure(names, servers, options.runs)))
            if not (options.workloads or options.only):
                modes = [SingleUser(), Ours()]
                tables.append((words, [mode.name for mode in modes], measure(ALONE, modes, options.runs)))
    if options.write:
        write(tables, options.runs)
    return 0


def measure(names: Iterable[str], servers: list[Ours | Postfix], runs: int) -> list[Row]:
    """Install them, run the workloads, stop them."""
    account()
    rows: list[Row] = []
    try:
        for server in servers:
            server.install()
            server.start()
        print(f"{'':12s} {'':18s} " + "  ".join(f"{server.name:>9s}" for server in servers) + "      ratio")
        for name in names:
            rows += compare(name, servers, runs)
    finally:
        for server in servers:
            server.stop()
        remove_old_maildirs()
    return rows


def compare(name: str, servers: list[Ours | Postfix], runs: int) -> list[Row]:
    """One workload, run by run in turn; the first round warms up and does not count."""
    rounds: dict[str, list[Figures]] = {server.name: [] for server in servers}
    for number in range(1 if name in ONCE else runs + 1):
        for server in servers:
            try:
                figures = WORKLOADS[name](server)
            except (RuntimeError, subprocess.SubprocessError) as error:
                print(f"{name:12s} {server.name}: {error}")
                return []
            if number or name in ONCE:
                rounds[server.name].append(figures)
    rows: list[Row] = []
    for key in next(iter(rounds.values()))[0]:
        values = [statistics.median(figures[key] for figures in rounds[server.name]) for server in servers]
        rows.append((name, key, values))
        words = "  ".join(f"{value:9.2f}" for value in values)
        print(f"{name:12s} {key:18s} {words}  {ratio(values):>9s}", flush=True)
    return rows


def ratio(values: list[float]) -> str:
    """The first as a multiple of the second."""
    return f"{values[0] / values[1]:.2f}" if len(values) == 2 and values[1] else ""


def write(tables: list[Table], runs: int) -> None:
    """Put the tables between the marks of docs/performance.md."""
    machine = f"{os.cpu_count()} processors, Linux {platform.release()}, Python {platform.python_version()}"
    lines = [f"{time.strftime('%-d %B %Y')}; {machine}; medians of {runs} runs, the two servers in turn.\n\n"]
    for words, servers, rows in tables:
        heads = ["workload", "figure", *servers, "ratio"]
        lines.append(f"On {words}:\n\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}\n")
        for name, key, values in rows:
            cells = [name, key, *(f"{value:.2f}" for value in values), ratio(values)]
            lines.append("| " + " | ".join(cells) + " |\n")
        lines.append("\n")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + "".join(lines) + END + after)


if __name__ == "__main__":
    sys.exit(main())
