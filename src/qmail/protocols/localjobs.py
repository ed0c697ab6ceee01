"""The talk between qmail-lspawn and the warm processes that deliver for it. Whole packets; numbers are big-endian.

    lspawn to a worker, with one descriptor a job, the message:
        together:  B, jobs       plain deliveries to files; what is none comes back
        alone:     A, one job    with one more descriptor: where output goes
        job:       delivery number (2), size of the message in bytes (8), local, dash, ext, host, sender, and
                             what the sender asked for besides (formats.mailparameters)
        look:      L, job        is there such an address? one job without a descriptor, a size and a sender
    worker to lspawn:    reports: delivery number (2), exit code of qmail-local (1; 255: give it to me alone), text
    lspawn to the zygote, with the worker's end of a pair:   serial (4), uid (4), gid (4), user, home
    zygote to lspawn, with a pidfd:                          serial (4)
    lspawn to the look-up process:   questions: number (2), local part
    look-up process to lspawn:       answers: number (2), exit code of qmail-getpw (1), record (empty if not 0)

A text is its length (4 bytes), then its bytes.
"""

from __future__ import annotations

from struct import Struct

from qmail.formats.usersassign import Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

TOGETHER, ALONE, LOOK = b"B", b"A", b"L"
GIVE_BACK = 255

_JOB = Struct(">HQ")
_REPORT = Struct(">HBI")
_WORKER = Struct(">III")
_SIZE = Struct(">I")
_NUMBER = Struct(">H")


class Broken(ValueError):
    """The other side does not speak this protocol."""


class Job:
    """One message for one address of a worker's user."""

    __slots__ = ("asked", "dash", "ext", "host", "local", "number", "sender", "size")

    def __init__(
        self,
        number: int,
        size: int,
        local: bytes,
        dash: bytes,
        ext: bytes,
        host: bytes,
        sender: bytes,
        asked: bytes = b"",
    ) -> None:
        self.number, self.size, self.asked = number, size, asked
        self.local, self.dash, self.ext, self.host, self.sender = local, dash, ext, host, sender


def job(value: Job) -> bytes:
    """A job, for a packet that begins with TOGETHER or ALONE."""
    texts = (value.local, value.dash, value.ext, value.host, value.sender, value.asked)
    return _JOB.pack(value.number, value.size) + _texts(texts)


def parse_jobs(packet: bytes) -> list[Job]:
    """The jobs of a packet, behind its letter. Raises Broken."""
    found, at = [], 1
    while at < len(packet):
        number, size = _unpack(_JOB, packet, at)
        texts, at = _parse_texts(packet, at + _JOB.size, 6)
        found.append(Job(number, size, *texts))
    return found


def report(number: int, code: int, text: bytes) -> bytes:
    """One report; a packet may hold many."""
    return _REPORT.pack(number, code, len(text)) + text


def parse_reports(packet: bytes) -> list[tuple[int, int, bytes]]:
    """(delivery number, exit code, text) of each report of a packet. Raises Broken."""
    found, at = [], 0
    while at < len(packet):
        number, code, size = _unpack(_REPORT, packet, at)
        at += _REPORT.size + size
        if at > len(packet):
            raise Broken("a text behind the packet")
        found.append((number, code, packet[at - size : at]))
    return found


def worker(serial: int, account: Account) -> bytes:
    """Ask for a worker that serves this account's user."""
    return _WORKER.pack(serial, account.uid, account.gid) + _texts((account.user, account.home))


def parse_worker(packet: bytes) -> tuple[int, Account]:
    """(serial, user). Raises Broken."""
    serial, uid, gid = _unpack(_WORKER, packet, 0)
    (user, home), _ = _parse_texts(packet, _WORKER.size, 2)
    return serial, Account(user, uid, gid, home, b"", b"")


def started(serial: int) -> bytes:
    """A worker runs."""
    return _SIZE.pack(serial)


def parse_started(packet: bytes) -> int:
    """The serial. Raises Broken."""
    return int(_unpack(_SIZE, packet, 0)[0])


def question(number: int, local: bytes) -> bytes:
    """Who answers for `local`? A packet may hold many."""
    return _NUMBER.pack(number) + _texts((local,))


def parse_questions(packet: bytes) -> list[tuple[int, bytes]]:
    """(number, local part) of each question. Raises Broken."""
    found, at = [], 0
    while at < len(packet):
        number = _unpack(_NUMBER, packet, at)[0]
        (local,), at = _parse_texts(packet, at + _NUMBER.size, 1)
        found.append((number, local))
    return found


def _texts(texts: Iterable[bytes]) -> bytes:
    return b"".join(_SIZE.pack(len(text)) + text for text in texts)


def _parse_texts(packet: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    texts = []
    for _ in range(count):
        size = _unpack(_SIZE, packet, at)[0]
        at += _SIZE.size + size
        if at > len(packet):
            raise Broken("a text behind the packet")
        texts.append(packet[at - size : at])
    return texts, at


def _unpack(shape: Struct, packet: bytes, at: int) -> tuple[int, ...]:
    if at + shape.size > len(packet):
        raise Broken("a number behind the packet")
    return shape.unpack_from(packet, at)
