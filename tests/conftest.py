"""What every test may use: the programs as shipped, and a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
BIN = TOP / "bin"

sys.path.insert(0, str(TOP / "src"))


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
