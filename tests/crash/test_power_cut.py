"""A real file system loses everything that it was not made to keep, while messages come in.

ext4 with a journal, and XFS, each on a file; the shutdown ioctl (NOLOGFLUSH) stops it at once, with nothing
of the journal and of the page cache written any more. Mounted again, every accepted message must be there.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent / "src")]

from conftest import needs_root, start_queued  # noqa: E402
from submitting import Talk, files, message  # noqa: E402

pytestmark = [pytest.mark.prove, needs_root]

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, and XFS_IOC_GOINGDOWN
NO_LOG_FLUSH = (2).to_bytes(4, sys.byteorder)
CUTS = 5
CLIENTS = 8


def prepare(place: Path) -> None:
    """A home on the small disk."""
    from qmail.stores.installation import create

    create(os.fsencode(place / "home"))


def cut(place: Path, seconds: float) -> None:
    """Take messages in for a while, and then the power goes. Prints what was accepted until then."""
    home = place / "home"
    accepted: list[bytes] = []
    gone = threading.Event()

    def client(number: int) -> None:
        try:
            talk = Talk(home)
            for count in range(100_000):
                text = b"client-%d-message-%d\n" % (number, count)
                talk.say(message(text * 50))
                code, *_qp = talk.answer()
                # What is answered while the power goes may be true or not; what was answered before is.
                if code == b"0" and not gone.is_set():
                    accepted.append(text.strip())
        except (OSError, ValueError):
            return

    process = start_queued(home)
    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for one in clients:
        one.start()
    time.sleep(seconds)
    directory = os.open(place, os.O_RDONLY)
    gone.set()
    known = list(accepted)
    fcntl.ioctl(directory, SHUTDOWN, NO_LOG_FLUSH)
    process.kill()
    process.wait()
    for one in clients:
        one.join()
    sys.stdout.buffer.write(b"\n".join(known))


def found(place: Path) -> None:
    """Print what is in the queue, whole."""
    queue = files(place / "home")
    for name in queue:
        if name.startswith("todo/"):
            number = int(name.removeprefix("todo/"))
            _line, _, text = queue[f"mess/{number % 23}/{number}"].partition(b"\n")
            first = text.partition(b"\n")[0]
            assert text == (first + b"\n") * 50, f"{name} is torn"
            assert queue[name].endswith(b"\0Fa@b.example\0Tc@d.example\0"), f"{name} has another envelope"
            sys.stdout.buffer.write(first + b"\n")


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_was_accepted_is_there_after_the_power_was_cut(tmp_path: Path, kind: str) -> None:
    total = 0
    for number in range(CUTS):
        image, place = tmp_path / f"image{number}", tmp_path / f"place{number}"
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(512 * 1024 * 1024)
        subprocess.run([f"mkfs.{kind}", "-q", image], check=True, stdout=subprocess.DEVNULL)
        accepted = mounted(image, place, "cut", str(0.3 + 0.25 * number))
        there = mounted(image, place, "found")
        assert accepted
        assert not accepted - there, f"{len(accepted - there)} of {len(accepted)} accepted messages are lost"
        total += len(accepted)
    print(f"{kind}: {total} messages accepted before {CUTS} cuts, all of them there after it")


def mounted(image: Path, place: Path, *words: str) -> set[bytes]:
    """Run this file with these words where the image is mounted, seen by nobody else. Returns the lines it printed."""
    script = f'mount -o loop {image} {place} && chmod 755 {place} && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, __file__, str(place), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60)
    return set(done.stdout.split())


if __name__ == "__main__":
    where, *words = sys.argv[1:]
    if words[0] == "cut":
        prepare(Path(where))
        cut(Path(where), float(words[1]))
    else:
        found(Path(where))
