"""The file systems that are measured on: the one that is there, and a journaled ext4 in a file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 4 << 30  # bytes of the image, most of them never written
IMAGE = Path("/var/tmp/pyqmail-bench.img")


@contextmanager
def here(place: Path) -> Iterator[str]:
    """`place` on the file system of its parent. Gives words that say which."""
    place.mkdir(mode=0o755, exist_ok=True)
    yield _words(place)


@contextmanager
def journaled(place: Path) -> Iterator[str]:
    """`place` on an ext4 with a journal, through a loop device."""
    place.mkdir(mode=0o755, exist_ok=True)
    with IMAGE.open("wb") as image:
        image.truncate(SIZE)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", IMAGE], check=True)
        subprocess.run(["mount", "-o", "loop", IMAGE, place], check=True)
        try:
            place.chmod(0o755)
            yield _words(place)
        finally:
            subprocess.run(["umount", place], check=True)
    finally:
        IMAGE.unlink()


DISKS = {"here": here, "journal": journaled}


def flushes(place: Path) -> int:
    """Flushes that the device below `place` has done; 0 where the kernel does not count them."""
    number = place.stat().st_dev
    for line in Path("/proc/diskstats").read_text().splitlines():
        fields = line.split()
        if (int(fields[0]), int(fields[1])) == (os.major(number), os.minor(number)) and len(fields) > 18:
            return int(fields[18])
    return 0


def _words(place: Path) -> str:
    number = place.stat().st_dev
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == f"{os.major(number)}:{os.minor(number)}":
            kind, device = fields[fields.index("-") + 1 : fields.index("-") + 3]
            if kind == "ext4":
                short = os.path.basename(os.path.realpath(device))
                journal = Path(f"/proc/fs/jbd2/{short}-8").exists()
                return f"ext4 with{'' if journal else 'out'} a journal"
            return kind
    return "an unknown file system"
