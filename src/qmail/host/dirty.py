"""How much the kernel holds in memory that no disk has yet (proc(5), meminfo)."""

from __future__ import annotations

import os

_LINE = b"\nDirty:"
_READ = 4096


def size() -> int:
    """Bytes, of the whole machine; 0 where that cannot be told. Takes some microseconds."""
    try:
        file = os.open("/proc/meminfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.read(file, _READ)
    except OSError:
        text = b""
    finally:
        os.close(file)
    words = text.partition(_LINE)[2].split(None, 1)
    return int(words[0]) * 1024 if words and words[0].isdigit() else 0
