"""What ps shows: the name in comm, and the words in the argument line.

The kernel reads the argument line from this process's own memory, so writing there (through
/proc/self/mem, without any library) changes it. The room is what the arguments and the environment
took at start; a longer title is cut.
"""

from __future__ import annotations

import os

_ROOM: list[tuple[int, int, int]] = []  # descriptor of our memory, start, length


def prepare() -> None:
    """Find the room. To be called before privileges are dropped, since /proc/self/mem is closed to us after."""
    if _ROOM:
        return
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    arguments, end, environment, environment_end = (int(fields[i]) for i in (45, 46, 47, 48))
    length = environment_end - arguments if environment == end else end - arguments
    _ROOM.append((os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC), arguments, length))


def show(*words: bytes) -> None:
    """Show these words as the arguments, and the base name of the first as comm. Never fails."""
    try:
        with open("/proc/self/comm", "wb", buffering=0) as file:
            file.write(os.path.basename(words[0])[:15])
        prepare()
        memory, start, length = _ROOM[0]
        text = b"\0".join(words)[: length - 1]
        # No NUL at the very end of the original arguments tells the kernel to read on into the environment.
        os.pwrite(memory, text.ljust(length, b"\0"), start)
    except (OSError, ValueError, IndexError):
        pass  # a name is no reason to stop
