"""mconnect-io: talk to a server line by line, inside mconnect.

    tcpclient HOST PORT mconnect-io

Standard input goes to descriptor 7, every LF with a CR in front; what comes from descriptor 6 goes to
standard output as it is. It ends with descriptor 6.

Usage: mconnect-io

Runs as: whoever started it.
Exit codes: 0.
"""

from __future__ import annotations

from qmail.formats.carriage import Added, Kept
from qmail.host import signals
from qmail.host.pump import Flow, relay


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    signals.ignore(signals.PIPE)
    answers = Flow(6, 1, Kept())
    relay([Flow(0, 7, Added()), answers], answers)
    return 0
