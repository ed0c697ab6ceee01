"""A real file system loses everything that it was not made to keep, again and again, while a whole system works on it.

ext4 with a journal, and XFS, each on a file; the shutdown ioctl (NOLOGFLUSH) stops it at once, with nothing of the
journal and of the page cache written any more. What was acknowledged is remembered outside. After each cut the system
is started anew, on what is left, and takes more in; in the end everything that was ever acknowledged must have arrived.
"""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent / "src")]

import figures  # noqa: E402
from conftest import needs_root  # noqa: E402
from crash import system_driver  # noqa: E402
from crash.exploring import SEED  # noqa: E402
from crash.system_driver import ANN, JOE, LATER  # noqa: E402
from journeys.conftest import Host  # noqa: E402
from submitting import Talk, message  # noqa: E402

ALL = os.environ.get("PYQMAIL_PROVE") == "all"
SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, and XFS_IOC_GOINGDOWN
NO_LOG_FLUSH = (2).to_bytes(4, sys.byteorder)
CUTS = 50 if ALL else 15  # of each kind
CLIENTS = 4
TIMES = 20  # a message says so often what it is


def load(host: Host, number: int, draw: random.Random, gone: threading.Event, accepted: list[bytes]) -> None:
    """A client that hands over one message after the other, until the power goes."""
    try:
        talk = Talk(host.home)
        for count in range(100_000):
            recipients = draw.choices(([JOE], [ANN], [JOE, ANN], [LATER]), weights=(60, 20, 15, 5))[0]
            text = b"cut-%d-client-%d-message-%d-for-%d\n" % (number, draw.randrange(10**9), count, len(recipients))
            envelope = b"Fs@a.example\0" + b"".join(b"T%b\0" % recipient for recipient in recipients) + b"\0"
            talk.say(message(text * TIMES, envelope))
            code, *_qp = talk.answer()
            # What is answered while the power goes may be true or not; what was answered before is.
            if code == b"0" and not gone.is_set():
                accepted.append(text.strip())
    except (OSError, ValueError):
        return


def cut(place: Path, number: int, seconds: float, seed: int) -> None:
    """Take messages in and deliver for a while, and then the power goes. Prints what was accepted until then."""
    host = system_driver.found(place)
    system_driver.start(host)
    accepted: list[bytes] = []
    gone = threading.Event()
    draws = [random.Random(seed + client) for client in range(CLIENTS)]
    clients = [threading.Thread(target=load, args=(host, number, draw, gone, accepted)) for draw in draws]
    for one in clients:
        one.start()
    time.sleep(seconds)
    directory = os.open(place, os.O_RDONLY)
    gone.set()
    known = list(accepted)
    fcntl.ioctl(directory, SHUTDOWN, NO_LOG_FLUSH)
    sys.stdout.buffer.write(b"\n".join(known))
    sys.stdout.flush()
    os._exit(0)  # and with the first process of its namespace every other one


def drain(place: Path) -> None:
    """Two days later everything is brought to its end. Prints what is in the mailboxes, whole."""
    host = system_driver.found(place)
    host.users[1].file("ready", "")
    queue = [place / "home/queue" / kind for kind in system_driver.KINDS if kind != "spare"]
    for directory in queue:
        for path in directory.rglob("*"):
            os.utime(path, (time.time() - 48 * 3600,) * 2)
    system_driver.start(host)

    def left() -> list[Path]:
        return [path for directory in queue for path in directory.rglob("*") if path.is_file()]

    while count := len(left()):
        # As long as it gets less.
        system_driver.try_again(host, lambda count=count: len(left()) < count, lambda: str(left()[:20]))
    host.stop()
    for user in host.users:
        for text in user.mail():
            _path, _to, _received, *lines = text.splitlines()
            assert lines == [lines[0]] * TIMES, f"torn: {text!r}"
            sys.stdout.buffer.write(user.name.encode() + b":" + lines[0] + b"\n")


@needs_root
@pytest.mark.prove
@pytest.mark.timeout(1800 if ALL else 300)
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in ("ext4", "xfs")])
def test_what_was_accepted_arrives_though_the_power_was_cut(
    tmp_path: Path, kind: str, tell: Callable[[str], None]
) -> None:
    begin = time.monotonic()
    draw = random.Random(f"{kind} {SEED}")
    image, place = tmp_path / "image", tmp_path / "place"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(512 * 1024 * 1024)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, stdout=subprocess.DEVNULL)
    mounted(image, place, "prepare")
    accepted: list[bytes] = []
    for number in range(CUTS):
        accepted += mounted(
            image, place, "cut", str(number), f"{draw.uniform(0.1, 0.9):.3f}", str(draw.randrange(10**6))
        )
    there = Counter(mounted(image, place, "drain"))
    assert len(accepted) > 10 * CUTS
    copies = Counter[bytes]()
    for line, times in there.items():
        copies[line.partition(b":")[2]] += 1
        assert times <= 1 + CUTS, line
    lost = [text for text in accepted if copies[text] < int(text.rpartition(b"-")[2])]
    assert not lost, f"{len(lost)} of {len(accepted)} accepted messages are lost, such as {lost[:3]}"
    again = sum(times > 1 for times in there.values())
    tell(f"{kind}: {len(accepted)} messages accepted before {CUTS} cuts (seed {SEED}), 0 lost, {again} delivered again")
    figures.record(
        "power cuts", model=kind, total=CUTS, run=CUTS, accepted=len(accepted), lost=0, damaged=0, orphans=0, wrong=0,
        duplicates={"delivered again": again}, seed=SEED, seconds=round(time.monotonic() - begin, 1),
    )  # fmt: skip


def mounted(image: Path, place: Path, *words: str) -> list[bytes]:
    """Run this file with these words where the image is mounted, seen by nobody else. Returns the lines it printed."""
    script = (
        f"mount -o loop {image} {place} && chmod 755 {place} && "
        f'unshare -p -f --kill-child --mount-proc "$@"; code=$?; umount {place} && exit $code'
    )
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, __file__, str(place), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=200)
    return done.stdout.splitlines()


if __name__ == "__main__":
    where, word, *rest = sys.argv[1:]
    os.umask(0o022)
    if word == "prepare":
        system_driver.prepare(Path(where))
    elif word == "cut":
        cut(Path(where), int(rest[0]), float(rest[1]), int(rest[2]))
    else:
        drain(Path(where))
