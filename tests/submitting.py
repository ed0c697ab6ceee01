"""A client of qmail-queued's socket for tests, frame by frame."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from conftest import BIN

ENVELOPE = b"Fa@b.example\0Tc@d.example\0\0"


def frame(letter: bytes, payload: bytes = b"") -> bytes:
    """One frame."""
    return letter + len(payload).to_bytes(4, "big") + payload


def message(text: bytes, envelope: bytes = ENVELOPE, begin: bytes = b"") -> bytes:
    """All frames of one message."""
    pieces = [text[at : at + 65536] for at in range(0, len(text), 65536)]
    return b"".join([frame(b"B", begin), *(frame(b"M", piece) for piece in pieces), frame(b"E", envelope), frame(b".")])


class Talk:
    """One connection."""

    def __init__(self, home: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(home / "qq/socket"))

    def say(self, data: bytes) -> None:
        """Send these bytes."""
        self.socket.sendall(data)

    def answer(self) -> list[bytes]:
        """The words of the next answer: code, qp, perhaps `full`; none where the connection was closed."""
        head = self._exactly(5)
        if not head:
            return []
        assert head[:1] == b"R"
        return self._exactly(int.from_bytes(head[1:], "big")).split()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self.socket.recv(size - len(data))):
            data += more
        return data

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def qmail_queue(
    home: Path, text: bytes, envelope: bytes = ENVELOPE, user: int | str | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the program qmail-queue on a message, both inputs being files."""
    (home / "message").write_bytes(text)
    (home / "envelope").write_bytes(envelope)
    with (home / "message").open("rb") as zero, (home / "envelope").open("rb") as one:
        return subprocess.run(
            [str(BIN / "qmail-queue")],
            stdin=zero, stdout=one, stderr=subprocess.PIPE, env={"QMAIL_HOME": str(home)}, timeout=60, user=user,
        )  # fmt: skip


def files(home: Path) -> dict[str, bytes]:
    """Everything in the queue that messages consist of: path below queue/ to content."""
    queue = home / "queue"
    return {
        str(path.relative_to(queue)): path.read_bytes()
        for path in sorted(queue.rglob("*"))
        if path.is_file() and path.parent.name not in ("lock", "spare")
    }


def kinds(home: Path) -> list[str]:
    """The first part of each of these paths."""
    return [name.split("/")[0] for name in files(home)]
