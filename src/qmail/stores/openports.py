"""Where the services of an installation listen, as their run files say."""

from __future__ import annotations

import _socket
import os

from qmail.formats.options import Wrong, options
from qmail.formats.shellwords import arguments
from qmail.formats.tcpoptions import LETTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.rules.found import Found, Run

EVERYWHERE = ("0", "::", "0.0.0.0")  # every address of this machine


def is_up(run: Run) -> bool:
    """Is it of a service that is to run?"""
    return run.path.endswith(b"/run") and not os.path.exists(os.path.dirname(run.path) + b"/down")


def secures_first(run: Run) -> bool:
    """Does TLS come before anything is said?"""
    return b"SMTPS=" in run.text or b"tlswrap" in run.text


def ports(run: Run) -> Iterator[tuple[str, int]]:
    """The hosts and ports of its tcpservers, where they are no variables."""
    for words in arguments(run.text, b"tcpserver"):
        try:
            rest = options(words, LETTERS)[1]
        except Wrong:
            continue
        if len(rest) > 2 and not any(b"$" in word for word in rest[:2]):
            host, port = os.fsdecode(rest[0]), os.fsdecode(rest[1])
            try:
                number = int(port) if port.isdigit() else _socket.getservbyname(port, "tcp")
            except OSError:
                continue
            yield host, number


def public(found: Found) -> frozenset[int]:
    """The ports that others than this machine may connect to."""
    return frozenset(
        port
        for run in found.running(b"tcpserver")
        if is_up(run)
        for host, port in ports(run)
        if not host.startswith("127.") and host not in ("::1", "localhost")
    )
