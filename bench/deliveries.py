"""Deliveries a second through qmail-lspawn alone, with a feeder in qmail-send's place.

Usage (root, with the qmail users): deliveries.py [--bin BIN] [--count N] [--size BYTES] [--users N]
       [--to ./Maildir/] [--flight N ...] [--strace]

Makes a home of its own, gives so many orders at a time to a qmail-lspawn, and says how many were delivered
a second, what CPU time a delivery took of all processes together, and with --strace how many system calls.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "src"))

from qmail.protocols import spawn  # noqa: E402
from qmail.stores.installation import create  # noqa: E402

UID = 4300


def make_home(place: Path, binaries: Path, users: int, messages: int, size: int) -> None:
    """A home with so many users, each with a Maildir, and messages in its queue."""
    create(os.fsencode(place))
    (place / "bin").rmdir()
    (place / "bin").symlink_to(binaries)
    assignments = []
    for number in range(users):
        home = place.parent / f"u{number}"
        for directory in (home, home / "Maildir", *(home / "Maildir" / name for name in ("tmp", "new", "cur"))):
            directory.mkdir()
            os.chown(directory, UID + number, UID + number)
        assignments.append(f"=u{number}:u{number}:{UID + number}:{UID + number}:{home}:::\n")
    (place / "users/assign").write_text("".join(assignments) + ".\n")
    subprocess.run([binaries / "qmail-newu"], env={"QMAIL_HOME": str(place)}, check=True)
    text = b"Received: (qmail 1 invoked by uid 1); 1 Jan 2026 00:00:00 -0000\nSubject: x\n\n"
    text += b"0123456789012345678901234567890123456789012345678901234567890\n" * (max(size - len(text), 0) // 62)
    owner = pwd.getpwnam("qmailq").pw_uid
    for number in range(messages):
        path = place / f"queue/mess/{number % 23}/{number}"
        path.write_bytes(text)
        os.chown(path, owner, -1)


class Account:
    """CPU time of everything started in it, dead or alive, kept by the kernel (a control group)."""

    def __init__(self) -> None:
        one, two = Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup")
        self.place = (one if one.is_dir() else two) / f"deliveries{os.getpid()}"
        self.place.mkdir()

    def enter(self) -> None:
        """This process, and what it starts, from now on."""
        (self.place / "cgroup.procs").write_text(str(os.getpid()))

    def seconds(self) -> float:
        """CPU time so far."""
        usage = self.place / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        return int((self.place / "cpu.stat").read_text().split()[1]) / 1e6

    def close(self) -> None:
        self.place.rmdir()


class Feeder:
    """Plays qmail-send: keeps `flight` orders open."""

    def __init__(self, argv: list[str], place: Path, account: Account) -> None:
        environ = {"QMAIL_HOME": str(place), "PATH": "/usr/bin:/bin", "QMAILSPAWN": "wide"}
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, bufsize=0, preexec_fn=account.enter
        )
        self.reports = spawn.Reports()
        while self.reports.limit is None:
            self.read()

    def read(self) -> list[tuple[int, bytes]]:
        assert self.process.stdout
        data = os.read(self.process.stdout.fileno(), 65536)
        assert data, "qmail-lspawn has ended"
        return self.reports.feed(data)

    def run(self, count: int, flight: int, users: int, messages: int) -> float:
        """Make so many deliveries; returns seconds."""
        assert self.process.stdin
        free, given, done = list(range(flight)), 0, 0
        begin = time.perf_counter()
        while done < count:
            orders = []
            while free and given < count:
                message = given % messages
                name = b"%d/%d" % (message % 23, message)
                order = spawn.Order(free.pop(), name, b"sender@example.net", b"u%d@example.org" % (given % users))
                orders.append(spawn.order(order, self.reports.wide))
                given += 1
            if orders:
                os.write(self.process.stdin.fileno(), b"".join(orders))
            for number, text in self.read():
                assert text.startswith(b"K"), text
                free.append(number)
                done += 1
        return time.perf_counter() - begin

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(20)
        time.sleep(0.5)  # until its workers have seen the end


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(TOP / "bin"))
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--users", type=int, default=1)
    parser.add_argument("--to", default="./Maildir/")
    parser.add_argument("--flight", type=int, nargs="*", default=[1, 10, 50])
    parser.add_argument("--place", default=None, help="where mail is kept (default: a temporary directory)")
    parser.add_argument("--strace", action="store_true")
    options = parser.parse_args()
    messages = 200
    for flight in options.flight:
        top = Path(tempfile.mkdtemp(prefix="deliveries", dir=options.place))
        top.chmod(0o755)
        try:
            make_home(top / "q", Path(options.bin), options.users, messages, options.size)
            argv = [f"{options.bin}/qmail-lspawn", options.to]
            if options.strace:
                argv = ["strace", "-f", "-c", "-o", str(top / "calls"), *argv]
            account = Account()
            feeder = Feeder(argv, top / "q", account)
            feeder.run(flight * 4, flight, options.users, messages)
            before = account.seconds()
            seconds = feeder.run(options.count, flight, options.users, messages)
            used = account.seconds() - before
            feeder.end()
            account.close()
            print(
                f"{flight:3d} in flight: {options.count / seconds:6.0f} deliveries/s,"
                f" {used / options.count * 1e6:5.0f} us CPU each"
            )
            if options.strace:
                text = (top / "calls").read_text()
                total = int(text.splitlines()[-1].split()[3])
                print(f"    {total / (options.count + 4 * flight):.1f} system calls each\n{text}")
        finally:
            shutil.rmtree(top)


if __name__ == "__main__":
    main()
