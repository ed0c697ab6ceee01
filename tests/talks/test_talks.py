"""Each talk is played twice: with an exec'd qmail-smtpd over pipes, and with warm ones behind tcpserver.

A talk is a text file:

    # what it shows                    S: the server's next line, <N> being a number
    control NAME TEXT                  C: the client sends a line       c: the client sends bytes
    control NAME -   no such file      pause      what was sent arrives alone
    control NAME /   a directory       trickle N  so many bytes come, 0.4 s apart
    env NAME=VALUE                     eof        the client sends no more
                                       end N      the server hangs up with this exit code

Then what is in the queue, in any order: `>` lines of a message, `F` sender, `T` recipients. `\\r`, `\\n`, `\\xHH` are
bytes.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from conftest import BIN, start_queued, wait_until
from submitting import files

TALKS = sorted(Path(__file__).parent.glob("*.txt"))
PATIENCE = 20.0
QMAILD = pwd.getpwnam("qmaild").pw_uid if os.geteuid() == 0 else None
CLIENT = {"TCPREMOTEIP": "127.0.0.1", "TCPLOCALHOST": "mx.example.org"}
CONTROL = {"me": "mx.example.org\n", "rcpthosts": "example.org\n"}


def unescape(text: str) -> bytes:
    return re.sub(rb"\\(r|n|x..)", lambda m: {b"r": b"\r", b"n": b"\n"}.get(m[1]) or bytes([int(m[1][1:], 16)]),
                  text.encode("latin-1"))  # fmt: skip


class Talk:
    """A file, read."""

    def __init__(self, path: Path) -> None:
        self.control: dict[str, str] = dict(CONTROL)
        self.env: dict[str, str] = {}
        self.steps: list[tuple[str, bytes]] = []
        queue: list[bytes] = []
        for line in path.read_text().splitlines():
            word, _, rest = line.partition(" ")
            if word == "control":
                name, _, text = rest.partition(" ")
                self.control[name] = text if text in "-/" and text else unescape(text).decode("latin-1")
            elif word == "env":
                name, _, value = rest.partition("=")
                self.env[name] = value
            elif word == "C:":
                self.steps.append(("send", unescape(rest) + b"\r\n"))
            elif word == "c:":
                self.steps.append(("send", unescape(rest)))
            elif word == "S:":
                self.steps.append(("hear", rest.encode() + b"\r\n"))
            elif word in ("pause", "trickle", "eof", "end"):
                self.steps.append((word, rest.encode()))
            elif word in (">", "F", "T"):
                queue.append(word.encode() + b" " + unescape(rest))
            else:
                assert word == "#", line
        self.queue = messages(queue)


def messages(lines: list[bytes]) -> list[list[bytes]]:
    """The messages that these lines are, in an order that does not depend on which one came first."""
    found: list[list[bytes]] = []
    for before, line in pairwise([b"T", *lines]):
        if line.startswith(b">") and not before.startswith(b">"):
            found.append([])
        found[-1].append(line)
    return sorted(found)


class Wire:
    """The client's side of a connection; `sent` and `heard` are descriptors or the same socket's."""

    def __init__(self, reads: int, writes: int, connection: socket.socket | None = None) -> None:
        self.reads, self.writes, self.connection = reads, writes, connection
        self.heard = b""

    def line(self) -> bytes:
        end = time.monotonic() + PATIENCE
        while b"\n" not in self.heard:
            assert time.monotonic() < end, f"only {self.heard!r} came"
            data = os.read(self.reads, 65536)
            assert data, f"only {self.heard!r} came before the end"
            self.heard += data
        line, newline, self.heard = self.heard.partition(b"\n")
        return line + newline

    def rest(self) -> bytes:
        while data := os.read(self.reads, 65536):
            self.heard += data
        return self.heard

    def trickle(self, count: int) -> None:
        for _ in range(count):
            time.sleep(0.4)
            try:
                os.write(self.writes, b"x")
            except OSError:
                return  # the server has had enough

    def eof(self) -> None:
        if self.connection is not None:
            self.connection.shutdown(socket.SHUT_WR)
        elif self.writes >= 0:
            os.close(self.writes)
            self.writes = -1


def play(talk: Talk, wire: Wire) -> bytes:
    """Play the client; what is left is the exit code that the talk names."""
    code = b""
    for what, text in talk.steps:
        if what == "send":
            os.write(wire.writes, text)
        elif what == "hear":
            assert re.sub(rb"\b\d{4,}\b", b"<N>", wire.line()) == text
        elif what == "pause":
            time.sleep(0.05)
        elif what == "trickle":
            wire.trickle(int(text))
        elif what == "eof":
            wire.eof()
        else:
            code = text
            assert wire.rest() == b""
    return code


class Place:
    """A home with a queue, and a tcpserver before warm qmail-smtpds."""

    def __init__(self, home: Path) -> None:
        self.home, self.log, self.rules = home, home / "log", home / "rules.cdb"
        self.log.touch()
        self.tell({})
        user = ["-u", str(QMAILD), "-g", str(os.stat(home / "alias").st_gid)] if QMAILD is not None else []
        self.server = subprocess.Popen(
            [str(BIN / "tcpserver"), "-vHR1", *user, "-l", "mx.example.org", "-x", str(self.rules), "127.0.0.1", "0",
             str(home / "bin/qmail-smtpd")],
            env={"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, stderr=self.log.open("wb"),
        )  # fmt: skip
        assert self.server.stdout is not None
        self.port = int(self.server.stdout.readline())

    def tell(self, env: dict[str, str]) -> None:
        """Set these variables for the next connections."""
        rule = ":allow" + "".join(f',{name}="{value}"' for name, value in env.items()) + "\n"
        subprocess.run(
            [str(BIN / "tcprules"), str(self.rules), str(self.home / "rules.tmp")], input=rule.encode(), check=True
        )
        self.rules.chmod(0o644)

    def set(self, control: dict[str, str]) -> None:
        """Write exactly these control files."""
        place = self.home / "control"
        shutil.rmtree(place)
        place.mkdir(mode=0o755)
        for name, text in control.items():
            if text == "/":
                (place / name).mkdir()
            elif text != "-":
                (place / name).write_bytes(text.encode("latin-1"))

    def take(self) -> list[list[bytes]]:
        """The messages in the queue, which is empty after it."""
        seen = []
        found = files(self.home)
        for todo in [name for name in found if name.startswith("todo/")]:
            number = todo.partition("/")[2]
            text = next(
                text for name, text in found.items() if name.startswith("mess/") and name.endswith("/" + number)
            )
            text = re.sub(rb"\d+ \w{3} \d{4} \d\d:\d\d:\d\d -0000", b"<DATE>", text.partition(b"\n")[2])
            seen += [b"> " + line for line in text.removesuffix(b"\n").split(b"\n")]
            records = found[todo].split(b"\0")[2:-1]
            seen += [record[:1] + b" " + record[1:] for record in records]
        for name in found:
            (self.home / "queue" / name).unlink()
        return messages(seen)

    def warm(self, talk: Talk) -> None:
        """Play the talk over a socket."""
        self.tell(talk.env)
        before = self.log.read_bytes().count(b" end ")
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(PATIENCE)
            connection.setblocking(True)
            code = play(talk, Wire(connection.fileno(), connection.fileno(), connection))
        wait_until(lambda: self.log.read_bytes().count(b" end ") > before)
        number, status = re.findall(rb"end (\d+) status (\d+)", self.log.read_bytes())[-1]
        assert int(status) == int(code) << 8
        assert int(number) > 1 << 22, "a process of its own served it"

    def executed(self, talk: Talk) -> None:
        """Play the talk with a program over pipes."""
        process = subprocess.Popen(
            [str(self.home / "bin/qmail-smtpd")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={"QMAIL_HOME": str(self.home), **CLIENT, **talk.env},
            user=QMAILD,
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        wire = Wire(process.stdout.fileno(), os.dup(process.stdin.fileno()))
        process.stdin.close()
        try:
            code = play(talk, wire)
            assert process.wait(PATIENCE) == int(code)
        finally:
            process.kill()
            process.wait()
            wire.eof()
            process.stdout.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all talks: that control files and rules change under running processes is part of the play."""
    from qmail.stores.installation import create

    home = tmp_path_factory.mktemp("talks") / "home"
    for directory in (home.parent, *home.parent.parents):
        if "pytest-of-" in str(directory):
            directory.chmod(0o755)
    create(os.fsencode(home))
    (home / "bin").rmdir()
    (home / "bin").symlink_to(BIN)
    queued = start_queued(home)
    one = Place(home)
    yield one
    for process in (one.server, queued):
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("path", TALKS, ids=lambda path: path.stem)
def test_a_talk_goes_as_written_with_a_program_and_with_warm_processes(path: Path, place: Place) -> None:
    talk = Talk(path)
    place.set(talk.control)
    place.executed(talk)
    assert place.take() == talk.queue
    place.warm(talk)
    assert place.take() == talk.queue
