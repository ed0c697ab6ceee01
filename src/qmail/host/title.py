"""What ps shows: the name in comm, and the words in the argument line.

The kernel reads the argument line from this process's own memory, so writing there (through
/proc/self/mem, without any library) changes it. The room is what the arguments and the environment
took at start; a longer title is cut. A process that was forked after privileges were dropped may not
open its own /proc files, and does the same through the C library.
"""

from __future__ import annotations

import os


class _Room:
    """Where this process's argument line stands; a forked process has one of its own."""

    def __init__(self) -> None:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        self.start, end, environment, environment_end = (int(fields[i]) for i in (45, 46, 47, 48))
        if not self.start:
            raise ValueError("the kernel does not say where")
        self.arguments = end - self.start
        self.length = environment_end - self.start if environment == end else self.arguments
        try:
            self.memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
        except PermissionError:
            self.memory = -1
        self.process = os.getpid()
        self.name = b""
        self.used = self.length


_PR_SET_NAME = 15
_room: _Room | None = None


def prepare() -> None:
    """Find the room. To be called before privileges are dropped, since /proc/self/mem is closed to us after."""
    global _room
    if _room is None or _room.process != os.getpid():
        forget()  # that of the process we were forked from
        _room = _Room()


def forget() -> None:
    """Give the room up: for a forked child, before it closes what it does not know and opens files of its own."""
    global _room
    if _room is not None and _room.memory >= 0:
        _close(_room.memory)
    _room = None


def show(*words: bytes) -> None:
    """Show these words as the arguments, and the base name of the first as comm. Never fails."""
    try:
        prepare()
        assert _room is not None
        if words[0] != _room.name:
            _call_it(os.path.basename(words[0])[:15])
            _room.name = words[0]
        text = b"\0".join(words) + b"\0"
        if len(text) > _room.arguments:
            # No NUL where the original arguments ended tells the kernel to read on, up to the first NUL.
            text = b" ".join(words)[: _room.length - 1] + b"\0"
        _write(_room, text.ljust(_room.used, b"\0"))
        _room.used = len(text)
    except (OSError, ValueError, IndexError, ImportError):
        pass  # a name is no reason to stop


def show_last(text: bytes) -> None:
    """Overwrite the end of the argument line: with as many bytes as the last argument has, that one. Never fails."""
    try:
        prepare()
        assert _room is not None
        _write(_room, text, _room.arguments - 1 - len(text))
    except (OSError, ValueError, ImportError):
        pass


def _call_it(name: bytes) -> None:
    try:
        with open("/proc/self/comm", "wb", buffering=0) as file:
            file.write(name)
    except PermissionError:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_NAME, name, 0, 0, 0)


def _write(room: _Room, text: bytes, place: int = 0) -> None:
    if room.memory >= 0:
        os.pwrite(room.memory, text, room.start + place)
    else:
        import ctypes

        ctypes.memmove(room.start + place, text, len(text))


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass  # a forked process has closed what it does not know
