"""What C programs were compiled with, as their own qmail-showctl tells."""

from __future__ import annotations

import os
import select

from qmail.host import clock, execute, signals
from qmail.stores import library

PATIENCE = 5.0  # seconds
LARGEST = 65536  # bytes


def built(directory: bytes) -> dict[bytes, bytes]:
    """Its first lines, `name: value.`, from the programs in this directory; empty where it does not say."""
    path = directory + b"/qmail-showctl"
    if library.module_of(path) is not None or not os.access(path, os.X_OK):
        return {}
    reader, writer = os.pipe()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = execute.spawn([path], {b"PATH": execute.DEFAULT_PATH}, {0: null, 1: writer, 2: null})
    finally:
        os.close(writer)
        os.close(null)
    text = _read(reader)
    os.close(reader)
    os.kill(pid, signals.KILL)  # it has ended, or never will
    os.waitpid(pid, 0)
    pairs = (line.partition(b": ") for line in text.split(b"\n"))
    return {name: value.removesuffix(b".") for name, colon, value in pairs if colon}


def _read(reader: int) -> bytes:
    text = b""
    end = clock.monotonic() + PATIENCE
    while len(text) < LARGEST:
        left = end - clock.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            break
        piece = os.read(reader, LARGEST)
        if not piece:
            break
        text += piece
    return text
