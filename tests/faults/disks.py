"""Small disks and read-only ones, for a while, at a place of a running system. They need root."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True, timeout=60)


@contextmanager
def small_disk(place: Path, *options: str) -> Iterator[None]:
    """`place` is a file system of its own, with what stood there: `small_disk(path, "size=1m", "nr_inodes=90")`."""
    with tempfile.TemporaryDirectory(dir=place.parent) as aside:
        _run("cp", "-a", f"{place}/.", aside)
        owner = place.stat()
        words = [f"mode={owner.st_mode & 0o7777:o}", f"uid={owner.st_uid}", f"gid={owner.st_gid}", *options]
        _run("mount", "-t", "tmpfs", "-o", ",".join(words), "tmpfs", place)
        try:
            _run("cp", "-a", f"{aside}/.", place)
            yield
        finally:
            _run("umount", "-l", place)


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Nothing below `place` can be changed, as on a disk that the kernel has given up writing to."""
    _run("mount", "--bind", place, place)
    try:
        _run("mount", "-o", "remount,ro,bind", place)
        yield
    finally:
        _run("umount", "-l", place)


def free(place: Path) -> int:
    """Bytes that can still be written there."""
    import os

    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize
