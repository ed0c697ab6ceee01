"""The talk between qmail-rspawn and its workers, over a socket of packets.

    job:     host NUL sender NUL recipient, with the message's descriptor
    answer:  qmail-remote's records, as it would have written them to descriptor 1

One job at a time; each has one answer.
"""

from __future__ import annotations

LARGEST = 65536  # bytes of a packet; what is larger goes to a program of its own


def job(host: bytes, sender: bytes, recipient: bytes) -> bytes:
    """One job."""
    return b"%b\0%b\0%b" % (host, sender, recipient)


def parse_job(packet: bytes) -> tuple[bytes, bytes, bytes]:
    """(host, sender, recipient). Raises ValueError."""
    host, sender, recipient = packet.split(b"\0")
    return host, sender, recipient
