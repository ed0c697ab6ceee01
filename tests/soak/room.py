"""A room of its own for a whole system: namespaces for processes, mounts and the network, and disks that are small.

Whatever ends the room's first process ends every other one in it, and takes the disks away: they are in memory.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PR_SET_PDEATHSIG = 1
UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
PIECE = 4 << 20  # bytes, with which a disk is filled


def live_in_one(words: list[str]) -> int:
    """Run these words, with a directory as the last one, as the first process of a room. Returns the exit code.

    TERM and INT end everything in it at once.
    """
    place = Path(tempfile.mkdtemp(prefix="pyqmail-soak-"))
    process = subprocess.Popen([*UNSHARE, *words, str(place)], start_new_session=True, preexec_fn=_die_with_parent)
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return process.wait()
    finally:
        if process.poll() is None:
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
            process.wait()  # it ends when nobody is left in there
        place.rmdir()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def furnish(place: Path) -> None:
    """Inside: loopback, and memory to put disks into."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=1g", "soak", place], check=True)


class Disk:
    """A small ext4 at `place`, which can be filled, and emptied again."""

    def __init__(self, place: Path, mib: int, files: int) -> None:
        self.place = place
        image = place.with_suffix(".image")
        with image.open("wb") as file:
            file.truncate(mib << 20)
        # No blocks that only root may use: full is full for everybody.
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", str(files), image], check=True, stdout=subprocess.DEVNULL)
        place.mkdir()
        subprocess.run(["mount", "-o", "loop", image, place], check=True)
        (place / "lost+found").rmdir()
        place.chmod(0o755)
        self._ballast = place / "ballast"
        self._ballast.mkdir()

    def fill(self) -> None:
        """Use every block up."""
        piece = PIECE
        try:
            descriptor = os.open(self._ballast / "blocks", os.O_WRONLY | os.O_CREAT)
        except OSError:
            return  # full already
        size = 0
        while piece >= 4096:
            try:
                os.posix_fallocate(descriptor, size, piece)
                size += piece
            except OSError:
                piece //= 2
        os.close(descriptor)

    def use_up_files(self) -> None:
        """Leave no inode for another file."""
        try:
            for number in range(1_000_000):
                os.close(os.open(self._ballast / str(number), os.O_WRONLY | os.O_CREAT))
        except OSError:
            pass

    def free(self) -> None:
        """Take away what filled it."""
        for name in os.listdir(self._ballast):
            os.unlink(self._ballast / name)
