"""What every test may use: the programs as shipped, and a home of its own.

Root with the qmail users tests a real installation, an ordinary user the single-user mode. Root on a
machine without the qmail users becomes nobody: `sh setup/users.sh` makes the users.
"""

from __future__ import annotations

import gc
import os
import pwd
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TOP = Path(__file__).resolve().parent.parent
BIN = TOP / "bin"
SHARED = TOP.parent / "shared"

sys.path.insert(0, str(TOP / "src"))

# A machine that has much to do makes no test fail.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def have_users() -> bool:
    """Do the qmail users exist?"""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return {"alias", "qmaild", "qmaill", "qmailp", "qmailq", "qmailr", "qmails"} <= names


if os.geteuid() == 0 and not have_users():
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
    os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
    os.environ["HOME"] = "/tmp"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root and the qmail users (sh setup/users.sh)")


# A place of our own for temporary directories: every pytest closes the one that it shares with others to other users.
PLACE = Path(tempfile.gettempdir()) / f"pyqmail-tests-{os.geteuid()}-{zlib.crc32(os.fsencode(TOP)):08x}"
PLACE.mkdir(exist_ok=True)
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(PLACE))


def pytest_configure(config: pytest.Config) -> None:
    """Every user of the system must be able to reach its files: the temporary directory is open."""
    os.umask(0o022)


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of this test, which other users may enter."""
    return open_to_others(tmp_path_factory.mktemp("t"))


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a line about this test at the end of the run, also where it passes: how much of what was proved."""
    return lambda line: record_property("told", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have told."""
    for report in terminalreporter.stats.get("passed", []):
        for name, line in getattr(report, "user_properties", ()):
            if name == "told" and report.when == "call":
                terminalreporter.write_line(str(line))


def open_to_others(path: Path) -> Path:
    """Let every user reach a directory that pytest made."""
    for directory in (path, *path.parents):
        if "pytest-of-" in str(directory):
            directory.chmod(0o755)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home, as `make setup` makes one; as root with the owners of a real installation."""
    from qmail.stores.installation import create

    path = tmp_path / "home"
    create(os.fsencode(path))
    (path / "bin").rmdir()
    (path / "bin").symlink_to(BIN)
    return path


Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def program(tmp_path: Path) -> Run:
    """Run one program to its end: `program("qmail-queue", stdin=b"...", env={...})`."""

    def run(
        *argv: str | bytes,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        first = os.fsdecode(argv[0])
        full = [str(BIN / first) if "/" not in first else first, *argv[1:]]
        environment = {"PATH": f"{BIN}:/usr/bin:/bin", **(env or {})}
        return subprocess.run(
            full, input=stdin, capture_output=True, env=environment, cwd=cwd or tmp_path, timeout=60, pass_fds=pass_fds
        )

    return run


@pytest.fixture
def queued(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A qmail-queued of `home`, ready to take messages."""
    with start_queued(home) as process:
        yield process
        process.terminate()
        process.wait(30)


def start_queued(home: Path, *before: str) -> subprocess.Popen[bytes]:
    """Start qmail-queued (under the program `before`) and wait until it takes messages."""
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home)}
    process = subprocess.Popen([*before, str(BIN / "qmail-queued")], env=environment, stdin=subprocess.DEVNULL)
    wait_until(lambda: process.poll() is not None or _is_accepting(home))
    assert process.poll() is None, "qmail-queued did not start"
    return process


def _is_accepting(home: Path) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX) as probe:
        return (home / "qq/lock").exists() and probe.connect_ex(str(home / "qq/socket")) == 0


def open_files() -> int:
    """How many descriptors this process has, those aside that earlier tests have forgotten."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def alive(pid: int) -> bool:
    """Does this process run (and is no zombie)?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that happens elsewhere, and fail where it does not in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
