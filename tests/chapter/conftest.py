"""A machine for one reader of the chapter, who is root there and types what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import TOP, open_to_others, wait_until

PATIENCE = 30.0  # seconds until something that must happen has happened
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ZONE = [
    ["mail.example.com", "A", ["192.168.1.1"]],
    ["1.1.168.192.in-addr.arpa", "PTR", ["mail.example.com."]],
    ["3.1.168.192.in-addr.arpa", "PTR", ["laptop.example.com."]],
    ["1.1.1.10.in-addr.arpa", "PTR", ["www.example.com."]],
    ["www.example.com", "A", ["10.1.1.1"]],
    ["2.1.1.10.in-addr.arpa", "PTR", ["elsewhere.example.net."]],
    ["elsewhere.example.net", "A", ["10.1.1.2"]],
    ["mail.isp.com", "A", ["127.0.0.3"]],
    ["smtp.example.com", "A", ["127.0.0.4"]],
]


class Machine:
    """A machine of its own: everything typed on it happens there alone."""

    def __init__(self, place: Path) -> None:
        self.keeper = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
             sys.executable, str(Path(__file__).with_name("keeper.py")), str(place), json.dumps(ZONE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.keeper.stdout is not None
        assert self.keeper.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children")
        self.first = int(children.read_text().split()[0])

    def types(
        self, command: str, *, code: int | None = 0, stdin: str = "", cwd: str | Path = TOP, user: str | None = None
    ) -> str:
        """Type a command; the answer is its standard output and errors. `code` None: whatever comes."""
        words = ["sh", "-c", command]
        if user is not None:
            words = ["su", "-s", "/bin/sh", user, "-c", command]
        done = subprocess.run(
            ["nsenter", "-t", str(self.first), "-m", "-n", "-p", "-i", "-u", "-r", f"--wdns={cwd}", *words],
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90, errors="replace",
            env={"PATH": PATH, "HOME": "/root"},
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{command}: exit {done.returncode}: {done.stdout}"
        return done.stdout

    def types_in_background(self, command: str, cwd: str | Path = TOP) -> None:
        """Type a command that ends in `&`; what it says goes to /var/log/terminal."""
        assert command.endswith("&")
        self.types(f"( {command} ) >> /var/log/terminal 2>&1 < /dev/null", cwd=cwd)

    def writes(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file with an editor."""
        self.types(f"cat > '{path}' && chmod {mode} '{path}'", stdin=text)

    def reads(self, path: str) -> str:
        """What is in a file, or nothing where it is missing."""
        return self.types(f"cat '{path}' 2>/dev/null", code=None)

    def sees(self, path: str, text: str, count: int = 1) -> str:
        """Wait until a file has this text so often, and return all of it."""
        wait_until(lambda: self.reads(path).count(text) >= count, PATIENCE)
        return self.reads(path)

    def sees_in(self, directory: str, text: str) -> str:
        """Wait until some file below a directory has this text, and return that file."""
        ask = f"grep -rlF -- '{text}' {directory} 2>/dev/null | head -1"
        wait_until(lambda: bool(self.types(ask, code=None).strip()), PATIENCE)
        return self.reads(self.types(ask).strip())

    def waits_for(self, command: str) -> None:
        """Wait until a command succeeds."""

        def succeeds() -> bool:
            return self.types(f"{command} > /dev/null 2>&1 && echo yes || echo no") == "yes\n"

        wait_until(succeeds, PATIENCE)

    def listens(self, port: int = 25) -> None:
        """Wait until somebody listens on a port."""
        self.waits_for(f"ss -Hltn 'sport = :{port}' | grep -q LISTEN")

    def inject(self, recipient: str, subject: str, sender: str = "steve@mail.example.com") -> None:
        """A local message."""
        self.types(f"/var/qmail/bin/qmail-inject -f{sender}", stdin=f"To: {recipient}\nSubject: {subject}\n\nhello\n")

    def processes(self) -> list[tuple[str, str, str]]:
        """(user, name, arguments) of all."""
        lines = self.types("ps -eo user:20,comm:20,args --no-headers").splitlines()
        return [(words[0], words[1], words[2]) for words in (line.split(None, 2) for line in lines)]

    def end(self) -> None:
        """End everything in it."""
        assert self.keeper.stdin is not None
        self.keeper.stdin.close()
        try:
            self.keeper.wait(10)
        except subprocess.TimeoutExpired:
            self.keeper.kill()
            self.keeper.wait()


@pytest.fixture(scope="session")
def make_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Machine]]:
    """Machines; all end with the tests."""
    if os.geteuid():
        pytest.skip("needs root")
    made: list[Machine] = []

    def make() -> Machine:
        made.append(Machine(open_to_others(tmp_path_factory.mktemp("machine"))))
        return made[-1]

    yield make
    for machine in made:
        for path in ("/var/log/terminal", "/var/log/syslog.chapter", "/var/log/qmail/qmail-send/current"):
            print(f"--- {path}\n{machine.reads(path)[-3000:]}")
        machine.end()
