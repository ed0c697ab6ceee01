"""readproctitle, svscanboot and splogger: what the last words of services become."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root, wait_until
from servicing import Place, descendants, kill


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.end()


def words(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")


def test_the_last_argument_shows_what_was_read_last() -> None:
    process = subprocess.Popen([BIN / "readproctitle", "errors:", "." * 20], stdin=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    process.stdin.write(b"trouble\n")
    wait_until(lambda: words(process.pid)[-2:] == [b"errors:", b"............trouble\n"])
    process.stdin.write(b"more\0 trouble, and then the end\n")
    wait_until(lambda: words(process.pid)[-2:] == [b"errors:", b"...and then the end\n"])
    process.stdin.close()
    assert process.wait(10) == 0


@pytest.mark.parametrize(("arguments", "code"), [([], 100), (["x", "...."], 100), (["....."], 0)])
def test_it_wants_five_dots(program: Run, arguments: list[str], code: int) -> None:
    done = program("readproctitle", *arguments, stdin=b"")
    assert (done.returncode, done.stderr) == (code, b"")


def test_a_machine_starts_with_svscan_and_its_words_in_sight(place: Place) -> None:
    place.service("scan/a", "#!/bin/sh\necho trouble >&2\nexec sleep 1000\n")
    boot = place.start("svscanboot", str(place.path / "scan"), env={"SECRET": "x", "PATH": "/nowhere"})
    place.shows("scan/a", "up (pid")
    assert words(boot.pid) == [b"svscan", str(place.path / "scan").encode()]
    (title,) = [pid for pid in descendants(boot.pid) if Path(f"/proc/{pid}/comm").read_text() == "readproctitle\n"]
    wait_until(lambda: words(title)[-1].endswith(b".trouble\n"))
    assert words(title)[-3:-1] == [b"service", b"errors:"]
    assert len(words(title)[-1]) == 400
    environment = Path(f"/proc/{place.pid('scan/a')}/environ").read_bytes()
    assert b"SECRET" not in environment
    assert b"PATH=/command:%b:/usr/local/bin:" % os.fsencode(BIN) in environment
    first = place.pid("scan/a")
    kill(boot.pid)
    boot.wait()
    again = place.start("svscanboot", str(place.path / "scan"))
    wait_until(lambda: not Path(f"/proc/{first}").exists())
    place.shows("scan/a", "up (pid")
    assert again.poll() is None


SYSLOG = """
import os, socket, subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev"], check=True)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
subprocess.run(sys.argv[1:], stdin=0, check=True)
log.setblocking(False)
try:
    while True:
        print(log.recv(10000))
except BlockingIOError:
    pass
"""


def logged(text: bytes, *arguments: str) -> list[bytes]:
    """The entries that splogger makes of `text`, without date and time."""
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", SYSLOG, BIN / "splogger", *arguments],
        input=text, capture_output=True, check=True,
    )  # fmt: skip
    entries = []
    for line in done.stdout.splitlines():
        entry = eval(line)  # a repr of our own making
        place = entry.index(b">") + 1
        entries.append(entry[:place] + entry[place + 16 :])
    return entries


@needs_root
def test_lines_become_entries_with_their_urgency() -> None:
    entries = logged(b"status: x\nalert: oh\nwarning: \t\xe9\n\nend", "qmail", "3")
    kinds = [(entry.partition(b" ")[0], entry.partition(b" ")[2].partition(b" ")[2]) for entry in entries]
    assert kinds == [
        (b"<30>qmail:", b"status: x"), (b"<25>qmail:", b"alert: oh"), (b"<28>qmail:", b"warning: ??"),
        (b"<30>qmail:", b"end"),
    ]  # fmt: skip
    stamp = entries[0].split(b" ")[1]
    seconds, _, rest = stamp.partition(b".")
    assert seconds.isdigit()
    assert len(rest) == 6


@needs_root
def test_a_long_line_becomes_several_entries() -> None:
    entries = logged(b"alert: " + b"x" * 1600 + b"\nshort\n")
    texts = [entry.partition(b"splogger: ")[2] for entry in entries]
    assert [(text[17:18], len(text) - 18) for text in texts] == [(b" ", 799), (b"+", 799), (b"+", 9), (b" ", 5)]
    assert [entry[:4] for entry in entries] == [b"<17>", b"<17>", b"<17>", b"<22>"]
