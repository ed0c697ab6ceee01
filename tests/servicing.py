"""A place for service directories, and every process that a test starts in it ended with the test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from conftest import BIN, wait_until

ORIGINALS = Path("/usr/bin")
SLEEPER = "#!/bin/sh\necho start >> starts\nexec sleep 1000\n"


class Place:
    """Services in `path`. `bin`: where supervise, svscan and multilog are taken from; `tools`: svc, svstat, svok."""

    def __init__(self, path: Path, bin: Path = BIN, tools: Path = BIN) -> None:
        self.path, self.bin, self.tools = path, bin, tools
        self.processes: list[subprocess.Popen[bytes]] = []

    def service(self, name: str, run: str = SLEEPER, *, down: bool = False) -> Path:
        """A service directory."""
        directory = self.path / name
        directory.mkdir(parents=True)
        (directory / "run").write_text(run)
        (directory / "run").chmod(0o755)
        if down:
            (directory / "down").touch()
        return directory

    def start(self, program: str, *words: str, **options: object) -> subprocess.Popen[bytes]:
        """Start a program; what it says on descriptor 2 is added to the file `said`."""
        with open(self.path / "said", "ab") as said:
            process = subprocess.Popen(  # type: ignore[call-overload]  # options of any kind
                [str(self.bin / program), *words],
                **{
                    "cwd": self.path,
                    "stdin": subprocess.DEVNULL,
                    "stderr": said,
                    "env": {"PATH": f"{self.bin}:/usr/bin:/bin"},
                    **options,
                },
            )
        self.processes.append(process)
        return process  # type: ignore[no-any-return]

    def supervise(self, name: str) -> subprocess.Popen[bytes]:
        """Start a supervise, and wait until it can be spoken to."""
        process = self.start("supervise", name)
        wait_until(lambda: process.poll() is not None or self.run("svok", name).returncode == 0)
        return process

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run one of the tools to its end."""
        return subprocess.run(
            [str(self.tools / program), *words], cwd=self.path, capture_output=True, timeout=60, check=False
        )

    def svc(self, *words: str) -> None:
        """Send commands, which must not be refused."""
        done = self.run("svc", *words)
        assert (done.returncode, done.stderr) == (0, b"")

    def svstat(self, name: str) -> str:
        """What svstat says, with the numbers taken out."""
        text = self.run("svstat", name).stdout.decode().removeprefix(f"{name}: ").rstrip()
        return re.sub(r"\d+ seconds", "N seconds", re.sub(r"pid \d+", "pid N", text))

    def shows(self, name: str, text: str, seconds: float = 10.0) -> None:
        """Wait until svstat says so."""
        wait_until(lambda: text in self.svstat(name), seconds)

    def pid(self, name: str) -> int:
        """The pid of a service; 0 where it is down."""
        return int.from_bytes((self.path / name / "supervise/status").read_bytes()[12:16], "little")

    def said(self) -> str:
        """What was said on descriptor 2 so far."""
        return (self.path / "said").read_text()

    def end(self) -> None:
        """End what is left: supervises with their services, then everything that was started here."""
        for process in self.processes:
            if process.poll() is None:
                for pid in reversed(descendants(process.pid)):
                    kill(pid)
                process.kill()
            process.wait()
        for status in self.path.glob("**/supervise/status"):
            pid = int.from_bytes(status.read_bytes()[12:16], "little")
            if pid and stands_in(pid, self.path):
                kill(pid)


def stands_in(pid: int, path: Path) -> bool:
    """Does this process work somewhere below `path`?"""
    try:
        return str(path) in os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """All children and theirs."""
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [below for child in children for below in descendants(child)]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def text_of(path: Path) -> str:
    """A file's text, empty where it is missing."""
    return path.read_text() if path.exists() else ""


def has(path: Path, text: str) -> Callable[[], bool]:
    """For wait_until: does the file contain this text?"""
    return lambda: text in text_of(path)
