"""supervise, and svc, svok, svstat that speak to it; the originals judge."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import BIN, Run, alive, wait_until
from servicing import ORIGINALS, Place, has, text_of

TRAPS = """#!/bin/sh
for signal in HUP ALRM INT TERM; do trap "echo $signal >> signals" $signal; done
echo ready >> signals
while :; do sleep 0.02; done
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.end()


def test_a_service_goes_up_and_down_under_ours_and_the_originals_alike(tmp_path: Path) -> None:
    pairs = [(BIN, BIN), (BIN, ORIGINALS), (ORIGINALS, BIN)]
    places = [Place(tmp_path / str(number), bin, tools) for number, (bin, tools) in enumerate(pairs)]
    with ThreadPoolExecutor(3) as threads:  # at the same time, since most of it is waiting
        assert list(threads.map(up_and_down, places)) == [None] * 3


def up_and_down(place: Place) -> None:
    try:
        directory = place.service("a")
        assert place.svstat("a") == "unable to open supervise/ok: file does not exist"
        supervise = place.supervise("a")
        place.shows("a", "up (pid N) N seconds")
        first = place.pid("a")
        place.svc("-p", "a")
        place.shows("a", "up (pid N) N seconds, paused")
        place.svc("-du", "a")
        wait_until(lambda: place.pid("a") not in (0, first))
        place.svc("-d", "a")
        place.shows("a", "down N seconds, normally up")
        place.svc("-o", "a")
        place.shows("a", "up (pid N) N seconds")
        assert (directory / "supervise/status").read_bytes()[16:] == b"\0\0"
        place.svc("-dx", "a")
        assert supervise.wait(10) == 0
        assert place.svstat("a") == "supervise not running"
        assert place.run("svok", "a").returncode == 100
        assert text_of(directory / "starts") == "start\n" * 3
        assert place.said() == ""
    finally:
        place.end()


def test_its_files_have_the_modes_of_the_originals_whatever_the_umask(place: Place) -> None:
    directory = place.service("a", down=True)
    place.start("supervise", "a", umask=0o077)
    wait_until(lambda: place.run("svok", "a").returncode == 0)
    modes = {path.name: oct(path.stat().st_mode) for path in directory.glob("supervise/*")}
    fifo, file = stat.S_IFIFO, stat.S_IFREG
    assert modes == {
        "lock": oct(file | 0o600), "control": oct(fifo | 0o600), "ok": oct(fifo | 0o600), "status": oct(file | 0o600),
    }  # fmt: skip
    assert oct((directory / "supervise").stat().st_mode & 0o777) == "0o700"
    assert (directory / "supervise/status").stat().st_size == 18


def test_every_signal_arrives(place: Place) -> None:
    directory = place.service("a", TRAPS)
    place.supervise("a")
    wait_until(has(directory / "signals", "ready"))
    for letter, name in (("h", "HUP"), ("a", "ALRM"), ("i", "INT"), ("t", "TERM")):
        place.svc(f"-{letter}", "a")
        wait_until(has(directory / "signals", name))
    place.svc("-k", "a")
    wait_until(lambda: text_of(directory / "signals").count("ready") == 2)


def test_a_program_that_ends_at_once_is_started_once_a_second(place: Place) -> None:
    begun = time.monotonic()
    directory = place.service("a", "#!/bin/sh\necho start >> starts\n")
    place.supervise("a")
    wait_until(lambda: text_of(directory / "starts").count("start") == 3)
    assert time.monotonic() - begun > 1.9
    assert place.svstat("a") == "up (pid N) N seconds"


def test_a_program_that_has_run_longer_is_started_again_at_once(place: Place) -> None:
    directory = place.service("a")
    place.supervise("a")
    wait_until(has(directory / "starts", "start"))
    took = []
    for count in (2, 3, 4):  # on a busy machine one of them may be slow
        time.sleep(1.1)  # the time that is being measured
        begun = time.monotonic()
        place.svc("-t", "a")
        wait_until(lambda: text_of(directory / "starts") == "start\n" * count)  # noqa: B023  # called at once
        took.append(time.monotonic() - begun)
        if took[-1] < 0.8:
            break
    assert min(took) < 0.8


def test_exit_alone_waits_for_the_service_to_end(place: Place) -> None:
    directory = place.service("a", "#!/bin/sh\nread line < go\nexit 3\n")
    os.mkfifo(directory / "go")
    supervise = place.supervise("a")
    time.sleep(1.1)  # the pause after a start, in which commands wait
    place.svc("-x", "a")
    place.shows("a", "up (pid")
    (directory / "go").write_text("on\n")
    assert supervise.wait(10) == 0


def test_a_second_supervise_leaves_the_first_alone(place: Place, program: Run) -> None:
    place.service("a", down=True)
    place.supervise("a")
    done = program("supervise", "a")
    assert done.returncode == 111
    assert done.stderr == b"supervise: fatal: unable to acquire a/supervise/lock: temporary failure\n"
    assert place.svstat("a") == "down N seconds"


def test_killed_it_leaves_the_program_running_and_the_lock_free(place: Place, program: Run) -> None:
    place.service("a")
    supervise = place.supervise("a")
    place.shows("a", "up (pid")
    pid = place.pid("a")
    supervise.terminate()
    assert supervise.wait(10) == -signal.SIGTERM
    assert alive(pid)
    assert place.svstat("a") == "supervise not running"
    done = program("svc", "-d", "a")
    assert (done.returncode, done.stderr) == (0, b"svc: warning: unable to control a: supervise not running\n")
    os.kill(pid, signal.SIGKILL)


def test_without_run_it_says_so_until_there_is_one(place: Place) -> None:
    (place.path / "a").mkdir()
    place.supervise("a")
    wait_until(has(place.path / "said", "supervise: fatal: unable to start a/run: file does not exist\n"))
    (place.path / "a/new").write_text("#!/bin/sh\nexec sleep 1000\n")
    (place.path / "a/new").chmod(0o755)
    (place.path / "a/new").rename(place.path / "a/run")
    wait_until(lambda: "sleep" in command(place.pid("a")))


def command(pid: int) -> str:
    """The command line of a process that may be gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_file_in_place_of_a_fifo_is_named_and_nothing_is_written_to_it(place: Place, program: Run) -> None:
    directory = place.service("a", down=True) / "supervise"
    place.supervise("a").kill()
    for name in ("control", "ok"):
        (directory / name).rename(directory / "kept")
        (directory / name).write_text("precious")
        done = program("supervise", "a")
        assert done.returncode == 111
        assert done.stderr == b"supervise: fatal: unable to read a/supervise/%b: not a fifo\n" % name.encode()
        if name == "control":
            assert program("svc", "-d", "a").stderr == b"svc: warning: unable to control a: not a fifo\n"
        else:
            assert program("svok", "a").stderr == b"svok: fatal: unable to open a/supervise/ok: not a fifo\n"
            assert program("svstat", "a").stdout == b"a: unable to open supervise/ok: not a fifo\n"
        assert (directory / name).read_text() == "precious"
        (directory / "kept").rename(directory / name)


def test_a_link_to_nowhere_in_place_of_its_directory_is_filled(place: Place) -> None:
    directory = place.service("a", down=True)
    (directory / "supervise").symlink_to(place.path / "elsewhere")
    place.supervise("a")
    assert (place.path / "elsewhere/status").stat().st_size == 18


def test_it_does_nothing_while_nothing_happens(place: Place) -> None:
    place.service("a")
    supervise = place.supervise("a")
    place.shows("a", "up (pid")
    time.sleep(1.2)  # the pause after a start

    def switches() -> list[str]:
        return [line for line in Path(f"/proc/{supervise.pid}/status").read_text().splitlines() if "ctxt" in line]

    before = switches()
    time.sleep(1)  # the time that is being measured
    assert switches() == before


def test_wrong_arguments_are_told_in_one_line(program: Run) -> None:
    assert program("supervise").stderr == b"supervise: usage: supervise dir\n"
    assert program("supervise", "a", "b").returncode == 100
    done = program("supervise", "none")
    assert (done.returncode, done.stderr) == (111, b"supervise: fatal: unable to chdir to none: file does not exist\n")
    done = program("svc", "-Z", "a")
    assert done.returncode == 100
    assert done.stderr.startswith(b"svc: illegal option -- Z\nsvc options: u up, d down")
    done = program("svok", "none")
    assert (done.returncode, done.stderr) == (111, b"svok: fatal: unable to chdir to none: file does not exist\n")


def test_svc_waits_until_the_service_is_where_it_was_sent(place: Place) -> None:
    directory = place.service("a", down=True)
    place.service("b", "#!/bin/sh\ntrap '' TERM\necho ready > ready\nwhile :; do sleep 0.05; done\n")
    place.supervise("a")
    supervise = place.supervise("b")
    wait_until(lambda: (place.path / "b/ready").exists())
    place.svc("-u", "-w", "10", "a")
    assert place.svstat("a").startswith("up")
    first = place.pid("a")
    place.svc("-tw10", "a")
    assert place.pid("a") not in (0, first)
    place.svc("-w", "10", "-d", "a")
    assert place.svstat("a").startswith("down")
    assert text_of(directory / "starts") == "start\n" * 2
    done = place.run("svc", "-d", "-w", "1", "a", "b")
    assert done.returncode == 111
    assert done.stderr.startswith(b"svc: fatal: b is not there after 1 seconds: up (pid ")
    assert done.stderr.endswith(b" seconds, want down\n")
    assert done.stderr.count(b"\n") == 1
    place.svc("-kx", "-w", "10", "b")
    assert supervise.wait(10) == 0
    assert place.run("svc", "-u", "-w", "0", "b").returncode == 111


def test_svstat_speaks_to_people(place: Place) -> None:
    place.service("a", down=True)
    place.supervise("a")
    status = place.path / "a/supervise/status"
    long_ago = (1 << 62) + 10 + int(time.time()) - 3 * 86400 - 4 * 3600
    status.write_bytes(long_ago.to_bytes(8, "big") + bytes(4) + (77).to_bytes(4, "little") + b"\1d")
    assert place.run("svstat", "-h", "a").stdout == b"a: up 3 days 4 hours, pid 77, normally down, paused, want down\n"
    assert place.svstat("a") == "up (pid N) N seconds, normally down, paused, want down"
    status.write_bytes(b"short")
    assert place.svstat("a") == "unable to read supervise/status: bad format"
    assert place.run("svstat", "-h").returncode == 0


def test_where_no_process_can_be_made_it_says_so_and_lives_on(place: Place) -> None:
    place.service("a")
    refuse = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=clone,clone3,fork,vfork:error=EAGAIN:when=1"]
    supervise = place.start("/usr/bin/strace", *refuse, str(BIN / "supervise"), "a")
    expected = "supervise: warning: unable to fork for a, sleeping 60 seconds: temporary failure\n"
    wait_until(lambda: place.said() == expected)
    assert place.svstat("a") == "down N seconds, normally up, want up"
    assert supervise.poll() is None


@pytest.mark.prove
def test_a_kernel_without_process_descriptors_is_asked_once_a_second(place: Place) -> None:
    directory = place.service("a", "#!/bin/sh\necho start >> starts\n")
    lacking = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=pidfd_open:error=ENOSYS"]
    place.start("/usr/bin/strace", *lacking, str(BIN / "supervise"), "a")
    wait_until(lambda: text_of(directory / "starts").count("start") == 3)
    wait_until(lambda: place.run("svc", "-dx", "a").stderr == b"")
    wait_until(lambda: place.run("svok", "a").returncode == 100)
