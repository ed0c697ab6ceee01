"""The talk between qmail-rspawn and its workers, over a socket of packets.

    job:     size of the message in decimal NUL host NUL sender NUL recipient, with the message's descriptor
    answer:  qmail-remote's records, as it would have written them to descriptor 1

One job at a time; each has one answer.
"""

from __future__ import annotations

LARGEST = 16384  # bytes of a job; what is larger goes to a program of its own
LARGEST_ANSWER = 32768  # two records, with the server's words in each


def job(size: int, host: bytes, sender: bytes, recipient: bytes) -> bytes:
    """One job."""
    return b"%d\0%b\0%b\0%b" % (size, host, sender, recipient)


def parse_job(packet: bytes) -> tuple[int, bytes, bytes, bytes]:
    """(size, host, sender, recipient). Raises ValueError."""
    size, host, sender, recipient = packet.split(b"\0")
    return int(size), host, sender, recipient
