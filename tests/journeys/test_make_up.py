"""A stranger types `make up` in a fresh clone."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from conftest import TOP
from journeys.conftest import free_port


def clone(place: Path) -> Path:
    """A fresh clone of what is committed, with the working tree's changes on top."""
    subprocess.run(["git", "clone", "-q", TOP, place], check=True)
    changed = subprocess.run(["git", "diff", "HEAD", "--binary"], cwd=TOP, capture_output=True, check=True).stdout
    if changed:
        subprocess.run(["git", "apply"], cwd=place, input=changed, check=True)
    return place


def started(place: Path) -> tuple[subprocess.Popen[bytes], int]:
    """`make up` on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["make", "up", f"PORT={free_port()}"],
        cwd=place,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    return process, ours


def read_until(descriptor: int, text: bytes, seconds: float = 150) -> bytes:
    """What the terminal shows, up to `text`."""
    seen, deadline = b"", time.monotonic() + seconds
    while text not in seen:
        assert time.monotonic() < deadline, seen.decode()
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:
            chunk = b""
        assert chunk, seen.decode()
        seen += chunk
    return seen


def ours(place: Path) -> list[str]:
    """Processes that run from this clone."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes()
                environment = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if str(place).encode() in words + environment and b"pytest" not in words:
                found.append(words.decode("latin-1"))
    return found


def arrived(new: Path, words: bytes, count: int) -> None:
    deadline = time.monotonic() + 30
    while sum(words in path.read_bytes() for path in new.iterdir()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(list(new.iterdir())) == count


@pytest.mark.prove
@pytest.mark.timeout(400)
def test_make_up_shows_a_delivery_stops_cleanly_and_goes_on(tmp_path: Path) -> None:
    place = clone(tmp_path / "clone")
    process, terminal = started(place)
    shown = read_until(terminal, b"Ctrl-C stops everything.")
    for words in (
        b"250 ok",
        b"new msg",
        b"delivery 1: success: did_1+0+0/",
        b"and the message is here:",
        b"STARTTLS works too",
        b"    TLSv1.3 ",
        b"`you` may log in",
        b"is fetched by POP3S",
        b"    Message-ID: <",
    ):
        assert words in shown
    new = place / "run/you/Maildir/new"
    arrived(new, b"It works.", 2)  # by SMTP, and by submission
    os.killpg(process.pid, signal.SIGINT)
    read_until(terminal, b"stopped.")
    assert process.wait(60) in (0, 2, 130, -signal.SIGINT)
    assert ours(place) == []
    process, terminal = started(place)
    read_until(terminal, b"Ctrl-C stops everything.")
    arrived(new, b"It works.", 4)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)
    deadline = time.monotonic() + 30
    while ours(place) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ours(place) == []


@pytest.mark.prove
def test_a_port_in_use_is_one_clear_line_and_nothing_started(tmp_path: Path) -> None:
    place = clone(tmp_path / "clone")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(["make", "up", f"PORT={port}"], cwd=place, capture_output=True, timeout=150, check=False)
    assert done.returncode
    lines = [line for line in done.stderr.splitlines() if line.startswith(b"make up: ")]
    assert len(lines) == 1
    assert f"port {port} ".encode() in lines[0]
    assert not (place / "run" / "service").exists()
    assert ours(place) == []
