"""maildirwatch: a window onto a Maildir."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import BIN, TOP, Run

CLEAR = b"\033[;H\033[;J"
MESSAGE = (
    b"Return-Path: <s@a.example>\nDelivered-To: joe@b.example\nReceived: x\nFrom: Ann\n\t<ann@a.example>\n"
    b"Subject: \x1b[2Jlunch\nDelivered-To: older@c.example\n\none\ntwo\n" + b"x" * 300
)
QUICK = """
import sys
sys.path.insert(0, "TREE")
from qmail.host.program import run
from qmail.programs.retrieve import maildirwatch
maildirwatch.PAUSE = 0.05
run(maildirwatch.main)
"""


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    place = tmp_path / "Maildir"
    for name in ("new", "cur", "tmp"):
        (place / name).mkdir(parents=True)
    return place


def put(maildir: Path, name: str, text: bytes, ago: float) -> None:
    (maildir / name).write_bytes(text)
    os.utime(maildir / name, (time.time() - ago,) * 2)


class Window:
    """A terminal with maildirwatch in it."""

    def __init__(self, command: list[str], maildir: Path) -> None:
        self.main, side = pty.openpty()
        self.process = subprocess.Popen(command, stdin=side, stdout=side, env={"MAILDIR": str(maildir)})
        os.close(side)
        self._shown = b""

    def screen(self) -> bytes:
        """The next whole screen."""
        while self._shown.count(CLEAR) < 2:
            self._shown += os.read(self.main, 4096)
        _, screen, rest = self._shown.split(CLEAR, 2)
        self._shown = CLEAR + rest
        return screen.replace(b"\r\n", b"\n")


@contextmanager
def window(tmp_path: Path, maildir: Path) -> Iterator[Window]:
    (tmp_path / "quick.py").write_text(QUICK.replace("TREE", str(TOP / "src")))
    shown = Window([sys.executable, "-IS", str(tmp_path / "quick.py")], maildir)
    try:
        yield shown
    finally:
        shown.process.kill()
        shown.process.wait()
        os.close(shown.main)


def test_what_is_new_is_shown_again_and_again(tmp_path: Path, maildir: Path) -> None:
    put(maildir, "new/1", MESSAGE, 100)
    put(maildir, "new/0", b"no header at all", 50)
    put(maildir, "cur/2:2,S", MESSAGE.replace(b"Ann", b"Bob"), 100)
    put(maildir, "tmp/left", b"", 200_000)
    text = (b"?[2Jlunch//one/two/".replace(b"?", b"/") + b"x" * 300)[:158]
    first = b"FROM <s@a.example> TO <joe@b.example>\n\033[1mFrom: Ann//<ann@a.example>\033[0m\n" + text + b"\n\n"
    with window(tmp_path, maildir) as shown:
        screen = shown.screen()
        assert screen.startswith(first)
        assert screen[len(first) :].startswith(b"FROM ? TO <?>\n")
        (maildir / "new/1").rename(maildir / "cur/1:2,S")
        while shown.screen().startswith(first):
            pass
        (maildir / "new/0").unlink()
        while shown.screen():
            pass
        put(maildir, "new/3", MESSAGE, 0)
        while shown.screen() != first:
            pass
    assert not (maildir / "tmp/left").exists()
    assert (maildir / "cur/1:2,S").read_bytes() == MESSAGE


def test_it_ends_when_nobody_reads(maildir: Path) -> None:
    process = subprocess.Popen(
        [BIN / "maildirwatch"], stdout=subprocess.PIPE, env={"MAILDIR": str(maildir)}, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(len(CLEAR)) == CLEAR
    process.terminate()
    process.wait(30)
    process.stdout.close()
    assert process.stderr.read() == b""
    done = subprocess.run(
        f"exec {BIN}/maildirwatch >/dev/full",
        shell=True,
        env={"MAILDIR": str(maildir)},
        timeout=60,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_maildir_must_be_named_and_be_one(program: Run, tmp_path: Path) -> None:
    assert program("maildirwatch").stderr == b"maildirwatch: fatal: MAILDIR not set\n"
    done = program("maildirwatch", env={"MAILDIR": "none"})
    assert (done.returncode, done.stderr) == (
        111, b"maildirwatch: fatal: unable to chdir to none: file does not exist\n",
    )  # fmt: skip
    done = program("maildirwatch", env={"MAILDIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (111, b"maildirwatch: fatal: unable to read new/: file does not exist\n")
