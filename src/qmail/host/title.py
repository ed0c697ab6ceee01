"""What ps shows: the name in comm, and the words in the argument line.

The kernel reads the argument line from this process's own memory, so writing there (through
/proc/self/mem, without any library) changes it. The room is what the arguments and the environment
took at start; a longer title is cut.
"""

from __future__ import annotations

import os


class _Room:
    """Where this process's argument line stands; a forked process has one of its own."""

    def __init__(self) -> None:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        self.start, end, environment, environment_end = (int(fields[i]) for i in (45, 46, 47, 48))
        self.arguments = end - self.start
        self.length = environment_end - self.start if environment == end else self.arguments
        self.memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
        self.process = os.getpid()
        self.name = b""
        self.used = self.length


_room: _Room | None = None


def prepare() -> None:
    """Find the room. To be called before privileges are dropped, since /proc/self/mem is closed to us after."""
    global _room
    if _room is None or _room.process != os.getpid():
        if _room is not None:
            os.close(_room.memory)  # that of the process we were forked from
            _room = None
        _room = _Room()


def show(*words: bytes) -> None:
    """Show these words as the arguments, and the base name of the first as comm. Never fails."""
    try:
        prepare()
        assert _room is not None
        if words[0] != _room.name:
            with open("/proc/self/comm", "wb", buffering=0) as file:
                file.write(os.path.basename(words[0])[:15])
            _room.name = words[0]
        text = b"\0".join(words) + b"\0"
        if len(text) > _room.arguments:
            # No NUL where the original arguments ended tells the kernel to read on, up to the first NUL.
            text = b" ".join(words)[: _room.length - 1] + b"\0"
        os.pwrite(_room.memory, text.ljust(_room.used, b"\0"), _room.start)
        _room.used = len(text)
    except (OSError, ValueError, IndexError):
        pass  # a name is no reason to stop
