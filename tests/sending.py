"""A running qmail-send with its helpers, in a home of its own, for tests that look at its log and its queue."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from conftest import BIN, TOP, alive

QUEUED_BEGINS = 5.0  # seconds
PATIENCE = 20.0


class Sending:
    """qmail-start in `home`; the spawners are stand-ins that do what a recipient's name asks for."""

    def __init__(self, home: Path, *, control: dict[str, str] | None = None, stand_ins: bool = True) -> None:
        self.home = home
        self.queue = home / "queue"
        self.log = home.parent / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.started = False
        for name, text in {"me": "here.example\n", **(control or {})}.items():
            (home / "control" / name).write_text(text)
        if (home / "bin").is_symlink():
            (home / "bin").unlink()
            (home / "bin").mkdir()
            for program in BIN.iterdir():
                (home / "bin" / program.name).symlink_to(program)
        if stand_ins:
            for name in ("lspawn", "rspawn"):
                record = self.record(name)
                record.touch()
                record.chmod(0o666)
                self.replace(
                    f"qmail-{name}",
                    f"PYTHONPATH={TOP}/src exec {sys.executable} -S {TOP}/tests/stand_ins/spawner.py {record}\n",
                )

    def record(self, spawner: str) -> Path:
        """Where a stand-in writes down its orders."""
        return self.home.parent / f"orders.{spawner}"

    def orders(self, spawner: str = "lspawn") -> list[str]:
        """The recipients it was told to deliver to."""
        return [line.rsplit(" ", 1)[1] for line in self.record(spawner).read_text("latin-1").splitlines()]

    def replace(self, name: str, script: str) -> None:
        """Put a shell script in a program's place."""
        path = self.home / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def start(
        self,
        *words: str,
        env: dict[str, str] | None = None,
        wait: str | None = "^status: ",
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start, and wait for the first line of the log."""
        since = len(self.text())
        self.started = True
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.home / "bin" / "qmail-start", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(env),
                start_new_session=True,
                pass_fds=pass_fds,
            )
        if wait is not None:
            self.wait(wait, since=since)

    def environment(self, env: dict[str, str] | None = None) -> dict[str, str]:
        """What the programs see."""
        return {"PATH": "/usr/bin:/bin", "QMAIL_HOME": str(self.home), **(env or {})}

    @property
    def pid(self) -> int:
        """Of qmail-send."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send qmail-send a signal."""
        os.kill(self.pid, number)

    def signal_and_heed(self, number: int) -> None:
        """Send qmail-send a signal, and wait until it has woken up for it and waits again."""

        def waits() -> int:
            status = Path(f"/proc/{self.pid}/status").read_text()
            return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

        before = waits()
        self.signal(number)
        self.until("asleep", lambda: waits() > before)

    def stop(self) -> int:
        """TERM, and wait for the end. Returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end. Returns the exit code."""
        assert self._process is not None
        code = self._process.wait(PATIENCE)
        self._process = None
        return code

    def close(self) -> None:
        """Leave nothing running, not even a qmail-queued that has only begun."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if not self.started or not (self.home / "qq").exists():
            return  # without its directory a qmail-queued ends by itself
        lock = self.home / "qq" / "lock"
        begun = time.monotonic()
        while not (lock.exists() and lock.read_text().strip()):
            if time.monotonic() > begun + QUEUED_BEGINS:
                return  # none came
            time.sleep(0.02)
        pid = int(lock.read_text().split()[0])
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return

        self.until("qmail-queued stays", lambda: not alive(pid))

    def text(self) -> str:
        """The log so far."""
        return self.log.read_text("latin-1") if self.log.exists() else ""

    def lines(self) -> list[str]:
        """The log so far, without status lines."""
        return [line for line in self.text().splitlines() if not line.startswith("status: local")]

    def wait(self, pattern: str, times: int = 1, *, since: int = 0) -> None:
        """Wait until the log has so many matches."""
        deadline = time.monotonic() + PATIENCE
        while len(re.findall(pattern, self.text()[since:], re.M)) < times:
            assert time.monotonic() < deadline, f"no {pattern!r} in the log:\n{self.text()}"
            time.sleep(0.01)

    def until(self, what: str, true: object) -> None:
        """Wait until a function says yes."""
        deadline = time.monotonic() + PATIENCE
        while not true():  # type: ignore[operator]
            assert time.monotonic() < deadline, f"{what}:\n{self.text()}\n{self.files()}"
            time.sleep(0.01)

    def submit(
        self, sender: str, recipients: Sequence[str], message: bytes = b"Subject: t\n\nhello\n", *, asked: bytes = b""
    ) -> None:
        """Queue a message. `asked`: what stands behind the envelope."""
        envelope = f"F{sender}\0" + "".join(f"T{recipient}\0" for recipient in recipients) + "\0"
        reader, writer = os.pipe()
        os.write(writer, envelope.encode("latin-1") + asked)
        os.close(writer)
        try:
            done = subprocess.run(
                [self.home / "bin" / "qmail-queue"],
                input=message,
                stdout=reader,
                env=self.environment(),
                timeout=PATIENCE,
            )
        finally:
            os.close(reader)
        assert done.returncode == 0

    def files(self) -> list[str]:
        """What is in the queue: `info/N local/N ...`, sorted, without split directories."""
        found = []
        for kind in ("pid", "intd", "todo", "mess", "info", "local", "remote", "bounce", "bad"):
            found += [f"{kind}/{path.name}" for path in (self.queue / kind).rglob("*") if path.is_file()]
        return sorted(found)

    def kinds(self) -> list[str]:
        """The directories in which there is something, one entry a file."""
        return [name.partition("/")[0] for name in self.files()]

    def file(self, kind: str, number: int | None = None) -> Path:
        """The path of the only message's file of this kind, or of a given message's."""
        if number is not None:
            part = [str(number % 23)] if kind in ("mess", "info", "local", "remote") else []
            return self.queue.joinpath(kind, *part, str(number))
        (path,) = [path for path in (self.queue / kind).rglob("*") if path.is_file()]
        return path

    def put(self, kind: str, number: int, text: bytes, *, age: float = 0) -> None:
        """Make a file of the queue as an earlier qmail-send left it."""
        path = self.file(kind, number)
        path.write_bytes(text)
        if os.geteuid() == 0:
            import pwd

            owner = pwd.getpwnam("qmailq" if kind in ("mess", "todo", "intd") else "qmails")
            os.chown(path, owner.pw_uid, owner.pw_gid)
        path.chmod(0o644 if kind in ("mess", "todo", "intd") else 0o600)
        when = time.time() - age
        os.utime(path, (when, when))
