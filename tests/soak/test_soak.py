"""A minute of a hard time (`make soak` takes ten): every promise is kept, and nothing is left, however it ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import needs_root, wait_until
from soak import soak

pytestmark = [needs_root, pytest.mark.prove, pytest.mark.timeout(500)]

SECONDS = 60


def command(*words: str) -> list[str]:
    return [sys.executable, soak.__file__, *words]


def left(place: Path) -> list[str]:
    """What is still there of a soak whose temporary directory is `place`: processes, mounts, files."""
    found = [path.name for path in place.iterdir()]
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(place) in line]
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes() + Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(place) + b"/pyqmail-soak" in words:
                found.append(name)
    return found


@pytest.fixture
def place() -> Iterator[Path]:
    """Where a soak puts what it needs; every user may go there."""
    path = Path(tempfile.mkdtemp(prefix="pyqmail-test-"))
    path.chmod(0o755)
    yield path
    path.rmdir()


def test_a_minute_of_it_keeps_every_promise(place: Path, tell: Callable[[str], None]) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    done = subprocess.run(
        command("--seconds", str(SECONDS), "--seed", str(seed)), env=os.environ | {"TMPDIR": str(place)},
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    print(done.stdout)
    tell(done.stdout.splitlines()[-1])
    assert done.returncode == 0
    assert f", 0 problems, seed {seed}, " in done.stdout
    assert left(place) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_one_that_is_interrupted(place: Path, number: int) -> None:
    process = subprocess.Popen(
        command("--seconds", "600"), env=os.environ | {"TMPDIR": str(place)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "/600 s: " in line:
            break
    process.send_signal(number)
    assert process.wait(60) != 0
    process.stdout.close()
    if number == signal.SIGKILL:
        # It could not take its own directory away, which is empty.
        wait_until(lambda: len(left(place)) == 1, 60)
        (place / left(place)[0]).rmdir()
    assert left(place) == []
