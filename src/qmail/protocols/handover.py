"""The talk between qmail-rspawn and its workers, over a socket of packets.

    job:     number of the delivery (2 bytes, big-endian), then size of the message in decimal NUL host NUL
             sender NUL recipient NUL parameters of it (formats.mailparameters); with the message's descriptor
    answer:  number of the delivery (2 bytes), then qmail-remote's records, as it would have written them

A worker takes one job after the other, and gives an answer to each.
"""

from __future__ import annotations

LARGEST = 16384  # bytes of a job; what is larger goes to a program of its own
LARGEST_ANSWER = 32768  # two records, with the server's words in each


def job(number: int, size: int, host: bytes, sender: bytes, recipient: bytes, asked: bytes = b"") -> bytes:
    """One job."""
    return number.to_bytes(2, "big") + b"%d\0%b\0%b\0%b\0%b" % (size, host, sender, recipient, asked)


def parse_job(packet: bytes) -> tuple[int, bytes, bytes, bytes, bytes]:
    """(size, host, sender, recipient, parameters). Raises ValueError."""
    size, host, sender, recipient, asked = packet[2:].split(b"\0")
    return int(size), host, sender, recipient, asked


def answer(job: bytes, records: bytes) -> bytes:
    """The answer to a job."""
    return job[:2] + records


def number(packet: bytes) -> int:
    """The number of the delivery that a job or an answer is about."""
    return int.from_bytes(packet[:2], "big")


def records(answer: bytes) -> bytes:
    """The records of an answer."""
    return answer[2:]
