"""Many services for a while: none lost, none doubled, none restarted too fast, and nothing grows."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from conftest import alive, wait_until
from servicing import Place, descendants, kill, text_of

pytestmark = pytest.mark.prove

# Two minutes with `make prove-all`; what goes wrong mostly does so at once.
SERVICES, CRASHING, SECONDS = 200, 50, 120 if os.environ.get("PYQMAIL_PROVE") == "all" else 40
# The kernel's own record of when the process was made, without starting another one.
RECORD = '#!/bin/sh\nread -r line < /proc/$$/stat\necho "$line" >> starts\n'
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.end()


def starts(directory: Path) -> list[float]:
    """When the service was started each time, in seconds since the machine was."""
    return [int(line.rpartition(")")[2].split()[19]) / TICKS for line in text_of(directory / "starts").splitlines()]


def memory(pids: list[int]) -> int:
    """KiB of proportional memory of all these processes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total


def supervises(svscan: int) -> dict[str, int]:
    """Name of the directory to pid of its supervise."""
    children = Path(f"/proc/{svscan}/task/{svscan}/children").read_text().split()
    return {os.path.basename(os.readlink(f"/proc/{pid}/cwd")): int(pid) for pid in children}


def copies(places: set[str]) -> dict[str, int]:
    """How many processes but supervise run in each of these directories."""
    found = dict.fromkeys(places, 0)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            where = os.readlink(f"/proc/{name}/cwd")
            if where in found and Path(f"/proc/{name}/comm").read_text() != "supervise\n" and alive(int(name)):
                found[where] += 1
        except OSError:
            pass
    return found


@pytest.mark.timeout(300)
def test_two_hundred_services_of_which_fifty_crash(place: Place) -> None:
    chance = random.Random(11)
    names = [f"s{number:03}" for number in range(SERVICES)]
    crashing = set(names[:CRASHING])
    for name in names:
        ends = f"exec sleep {chance.choice((0, 0.1, 0.7, 1.5, 3))}\n" if name in crashing else "exec sleep 1000\n"
        place.service(f"scan/{name}", RECORD + ends)
    svscan = place.start("svscan", "--stop=20", "scan")
    wait_until(lambda: len(supervises(svscan.pid)) == SERVICES, 60)
    wait_until(lambda: all(starts(place.path / "scan" / name) for name in names), 60)
    first = supervises(svscan.pid)
    where = {str(place.path / "scan" / name) for name in names}
    time.sleep(5)  # every kind of service has been started again
    before, begun = memory([svscan.pid, *first.values()]), time.monotonic()
    while time.monotonic() < begun + SECONDS:
        victim = chance.choice(sorted(crashing))
        if pid := place.pid(f"scan/{victim}"):
            kill(pid, chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV)))
        time.sleep(0.5)
        if chance.random() < 0.1:
            assert max(copies(where).values()) == 1
    assert supervises(svscan.pid) == first
    grown = memory([svscan.pid, *first.values()]) - before
    print(f"{before} KiB at first, {grown} KiB more after {SECONDS} s; {before // (SERVICES + 1)} KiB each")
    assert grown < before / 50
    for name in names:
        times = starts(place.path / "scan" / name)
        if name in crashing:
            assert len(times) > SECONDS / 5
            assert min(later - earlier for earlier, later in pairwise(times)) > 0.98
        else:
            assert len(times) == 1
            assert alive(place.pid(f"scan/{name}"))
    below = descendants(svscan.pid)
    svscan.terminate()
    assert svscan.wait(60) == 0
    assert [pid for pid in below if alive(pid)] == []
    assert place.said() == ""


def cpu(pids: list[int]) -> float:
    """Seconds of CPU time."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


def test_twenty_idle_services_take_less_than_a_thousandth_of_a_processor(place: Place) -> None:
    for number in range(20):
        place.service(f"scan/{number}", "#!/bin/sh\nexec sleep 1000\n")
    svscan = place.start("svscan", "--stop", "scan")
    for number in range(20):
        place.shows(f"scan/{number}", "up (pid")
    time.sleep(2)  # the pause after the last start
    pids = [svscan.pid, *supervises(svscan.pid).values()]
    before = cpu(pids)
    time.sleep(15)  # the time that is being measured
    used = cpu(pids) - before
    print(f"{used / 15:.4%} of a processor")
    assert used / 15 < 0.001
    svscan.terminate()
    assert svscan.wait(60) == 0
