"""mconnect-io: talk to a server line by line, inside mconnect.

For those who want options of tcpclient that mconnect does not pass on.

Usage: mconnect-io

    tcpclient -i 192.0.2.7 mx.example.org smtp mconnect-io

Behaviour:
Standard input goes to descriptor 7, every LF with a CR in front; what comes
from descriptor 6 goes to standard output as it is. It ends with descriptor 6.

Runs as: whoever started it.
Faces: the network.
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
