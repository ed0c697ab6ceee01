"""svscan: a supervise for every directory, and with --stop the end of them all."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, Run, alive, wait_until
from servicing import ORIGINALS, Place, descendants, has, text_of

TALKER = "#!/bin/sh\necho up\ntrap 'echo down; exit 0' TERM\nwhile :; do sleep 0.05; done\n"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.end()


def logged(place: Place, name: str, run: str = TALKER) -> Path:
    """A service with a log of multilog's."""
    directory = place.service(f"scan/{name}", run)
    place.service(f"scan/{name}/log", f"#!/bin/sh\nexec {place.bin}/multilog ../../../{name}.log\n")
    return directory


@pytest.mark.parametrize(
    ("svscan", "supervise"), [(BIN, BIN), (BIN, ORIGINALS), (ORIGINALS, BIN)], ids=["ours", "their-supervise", "theirs"]
)
def test_services_run_with_their_logs(tmp_path: Path, svscan: Path, supervise: Path) -> None:
    place = Place(tmp_path, svscan)
    try:
        logged(place, "a", "#!/bin/sh\necho hello\necho trouble >&2\nexec sleep 1000\n")
        place.service("scan/.hidden")
        place.service("scan/b", down=True)
        (tmp_path / "scan/nowhere").symlink_to("none")
        place.start("svscan", "scan", env={"PATH": f"{supervise}:/usr/bin:/bin"})
        for name in ("scan/a", "scan/a/log"):
            place.shows(name, "up (pid N)")
        place.shows("scan/b", "down N seconds")
        wait_until(has(tmp_path / "a.log/current", "hello\n"))
        assert place.svstat("scan/.hidden") == "unable to open supervise/ok: file does not exist"
        expected = ["svscan: warning: unable to stat nowhere: file does not exist", "trouble"]
        wait_until(lambda: sorted(place.said().splitlines()) == expected)
    finally:
        place.end()


def test_its_supervises_are_forks_with_names_of_their_own(place: Place) -> None:
    logged(place, "a")
    svscan = place.start("svscan", "scan")
    place.shows("scan/a/log", "up (pid")
    shown = set()
    for pid in Path(f"/proc/{svscan.pid}/task/{svscan.pid}/children").read_text().split():
        assert Path(f"/proc/{pid}/comm").read_text() == "supervise\n"
        shown.add(Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0"))
    assert shown == {b"supervise\0a", b"supervise\0log"}
    assert Path(f"/proc/{svscan.pid}/cmdline").read_bytes().rstrip(b"\0") == b"svscan\0scan"
    # Of svscan's descriptors, a service has none but the three it should have (its shell adds what it reads).
    assert {int(name) for name in os.listdir(f"/proc/{place.pid('scan/a')}/fd")} <= {0, 1, 2, 10, 255}


def test_another_supervise_in_the_path_is_run_as_it_is(place: Place) -> None:
    place.service("scan/a")
    other = place.path / "other"
    other.mkdir()
    (other / "supervise").write_text(f'#!/bin/sh\necho "other $1" >&2\nexec {BIN}/supervise "$@"\n')
    (other / "supervise").chmod(0o755)
    place.start("svscan", "scan", env={"PATH": f"{other}:/usr/bin:/bin"})
    place.shows("scan/a", "up (pid")
    assert place.said() == "other a\n"


def test_hup_makes_it_look_at_once(place: Place) -> None:
    place.service("scan/a")
    svscan = place.start("svscan", "scan")
    place.shows("scan/a", "up (pid")
    took = []
    for name in ("b", "c", "d"):  # on a busy machine one of them may be slow; none waits for the next look
        place.service(f"scan/{name}")
        begun = time.monotonic()
        svscan.send_signal(signal.SIGHUP)
        place.shows(f"scan/{name}", "up (pid")
        took.append(time.monotonic() - begun)
    assert min(took) < 1.5
    place.svc("-dx", "scan/a")
    wait_until(lambda: place.svstat("scan/a") == "supervise not running")
    svscan.send_signal(signal.SIGHUP)
    place.shows("scan/a", "up (pid")
    before = ticks(svscan.pid)
    time.sleep(1)  # the time that is being measured
    assert ticks(svscan.pid) - before <= 1


def ticks(pid: int) -> int:
    """CPU time of a process in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_what_a_log_has_not_read_waits_for_the_next_one(place: Place) -> None:
    directory = logged(place, "a", '#!/bin/sh\nwhile read line; do echo "$line"; done < feed\nexec sleep 1000\n')
    os.mkfifo(directory / "feed")
    place.start("svscan", "scan")
    place.shows("scan/a/log", "up (pid")
    with open(directory / "feed", "w", buffering=1) as feed:
        feed.write("one\n")
        wait_until(has(place.path / "a.log/current", "one\n"))
        place.svc("-dk", "scan/a/log")
        place.shows("scan/a/log", "down")
        feed.write("two\n")
        place.svc("-u", "scan/a/log")
        wait_until(lambda: "two\n" in "".join(text_of(path) for path in place.path.glob("a.log/*")))


def test_told_to_stop_it_ends_services_first_and_logs_after_them(place: Place) -> None:
    for name in ("a", "b"):
        logged(place, name)
    place.service("scan/plain")
    place.service("scan/idle", down=True)
    svscan = place.start("svscan", "--stop", "scan")
    for name in ("a", "b"):
        wait_until(has(place.path / f"{name}.log/current", "up\n"))
    place.shows("scan/plain", "up (pid")
    wait_until(lambda: place.run("svok", "scan/idle").returncode == 0)
    below = descendants(svscan.pid)
    assert len(below) > 8
    svscan.terminate()
    assert svscan.wait(20) == 0
    assert [pid for pid in below if alive(pid)] == []
    for name in ("a", "b"):
        assert text_of(place.path / f"{name}.log/current") == "up\ndown\n"
        assert (place.path / f"{name}.log/current").stat().st_mode & 0o777 == 0o744
    assert place.said() == ""


def test_what_does_not_end_in_time_is_killed(place: Place) -> None:
    logged(place, "a", "#!/bin/sh\ntrap '' TERM\necho up\nwhile :; do sleep 0.05; done\n")
    svscan = place.start("svscan", "--stop=1", "scan")
    wait_until(has(place.path / "a.log/current", "up\n"))
    below = descendants(svscan.pid)
    begun = time.monotonic()
    svscan.send_signal(signal.SIGINT)
    assert svscan.wait(20) == 0
    assert 0.9 < time.monotonic() - begun < 5
    assert [pid for pid in below if alive(pid)] == []


def test_a_service_that_was_moved_away_is_stopped_too(place: Place) -> None:
    logged(place, "a")
    svscan = place.start("svscan", "--stop", "scan")
    wait_until(has(place.path / "a.log/current", "up\n"))
    (place.path / "scan/a").rename(place.path / "moved")
    svscan.terminate()
    assert svscan.wait(20) == 0
    assert text_of(place.path / "a.log/current") == "up\ndown\n"


def test_without_stop_the_services_go_on(place: Place) -> None:
    place.service("scan/a")
    svscan = place.start("svscan", "scan")
    place.shows("scan/a", "up (pid")
    svscan.terminate()
    assert svscan.wait(10) == -signal.SIGTERM
    assert place.svstat("scan/a") == "up (pid N) N seconds"
    place.svc("-dx", "scan/a")
    wait_until(lambda: place.run("svok", "scan/a").returncode == 100)


def test_wrong_arguments_are_told_in_one_line(program: Run) -> None:
    for word in ("--nonsense", "--stop=", "--stop=x"):
        done = program("svscan", word)
        assert (done.returncode, done.stderr) == (100, b"svscan: usage: svscan [--stop[=seconds]] [dir]\n")
    done = program("svscan", "none")
    assert (done.returncode, done.stderr) == (111, b"svscan: fatal: unable to chdir to none: file does not exist\n")


def test_without_a_supervise_it_says_so_and_goes_on(place: Place) -> None:
    place.service("scan/a")
    svscan = place.start("svscan", "scan", env={"PATH": str(place.path)})
    wait_until(has(place.path / "said", "svscan: warning: unable to start supervise a: file does not exist\n"))
    assert svscan.poll() is None


def test_under_nohup_the_services_do_not_hear_the_terminal_go(place: Place) -> None:
    place.service("scan/a")
    place.start("/bin/sh", "-c", f"trap '' HUP; exec {BIN}/svscan scan")
    place.shows("scan/a", "up (pid")
    status = Path(f"/proc/{place.pid('scan/a')}/status").read_text()
    ignored = int(status.partition("SigIgn:\t")[2].split()[0], 16)
    assert ignored & ((1 << 31) - 1) == 1  # whoever runs the tests may ignore signals of the library's own
