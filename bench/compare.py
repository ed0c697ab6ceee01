"""compare.py [--runs N] [--only SERVER] [WORKLOAD...]: ours and Postfix in turn, as ratios. Run as root."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from servers import PLACE, Ours, Postfix
from workloads import WORKLOADS, Figures


def main() -> int:
    """Measure, print, stop everything. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each (default 3)")
    parser.add_argument("--only", choices=("pyqmail", "postfix"), help="one server, no ratios")
    options = parser.parse_args()
    if os.geteuid():
        print("bench: needs root, to install two servers with their users", file=sys.stderr)
        return 100
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    PLACE.mkdir(mode=0o755, exist_ok=True)
    servers = [server for server in (Ours(), Postfix()) if options.only in (None, server.name)]
    try:
        for server in servers:
            server.install()
            server.start()
        print(f"{'':10s} {'':8s} " + "  ".join(f"{server.name:>9s}" for server in servers) + "      ratio")
        for name in options.workloads or list(WORKLOADS):
            compare(name, servers, options.runs)
    finally:
        for server in servers:
            server.stop()
    return 0


def compare(name: str, servers: list[Ours | Postfix], runs: int) -> None:
    """One workload, run by run in turn; the first round warms up and does not count."""
    rounds: dict[str, list[Figures]] = {server.name: [] for server in servers}
    for number in range(runs + (name != "memory")):
        for server in servers:
            try:
                figures = WORKLOADS[name](server)
            except (RuntimeError, subprocess.SubprocessError) as error:
                print(f"{name:10s} {server.name}: {error}")
                return
            if number or name == "memory":
                rounds[server.name].append(figures)
    for key in next(iter(rounds.values()))[0]:
        values = [statistics.median(figures[key] for figures in rounds[server.name]) for server in servers]
        ratio = f"{values[0] / values[1]:9.2f}" if len(values) == 2 and values[1] else ""
        print(f"{name:10s} {key:8s} " + "  ".join(f"{value:9.2f}" for value in values) + f"  {ratio}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
