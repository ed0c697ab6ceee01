"""The system as it is shipped, installed and running in the room: its users, its services, its processes by name."""

from __future__ import annotations

import os
import pwd
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
HOST = "soak.test"
PORT = 25
FIRST_UID = 4242  # users who need no entry in the account list
LOGGER = "setuidgid qmaill multilog t s10000000 n4"


class Process:
    """One process of the system."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        self.state, self.parent, self.began = fields[0], int(fields[1]), int(fields[19])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        name = stat.partition("(")[2].rpartition(")")[0]
        role = os.fsdecode(words[1]) if len(words) > 1 and words[1] in (b"zygote", b"accounts") else ""
        self.name = f"{name} {role}".strip()

    def memory(self) -> tuple[int, int]:
        """Its share of the memory that it has with others, and all of that, in KiB; 0 where it is gone."""
        try:
            lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0, 0
        found = {line.partition(":")[0]: int(line.split()[1]) for line in lines[1:]}
        return found.get("Pss", 0), found.get("Rss", 0)


class User:
    """Somebody who gets mail."""

    def __init__(self, name: str, home: Path, uid: int) -> None:
        self.name, self.home, self.uid = name, home, uid
        for path in (home, *(home / "Maildir" / part for part in (".", "tmp", "new", "cur"))):
            path.mkdir(mode=0o700, exist_ok=True)
            os.chown(path, uid, uid)

    def file(self, name: str, text: str) -> None:
        """A file of this user's."""
        (self.home / name).write_text(text)
        os.chown(self.home / name, self.uid, self.uid)


class System:
    """svscanboot and all that it starts. Our own children, in `ours`, are no part of it."""

    def __init__(self, home: Path, homes: Path) -> None:
        self.home, self._homes = home, homes
        self.environment = {"QMAIL_HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"}
        self.users: dict[str, User] = {}
        self.spawning = threading.Lock()
        self.ours: dict[int, subprocess.Popen[bytes]] = {}
        self._boot: subprocess.Popen[bytes] | None = None

    # ---- installing

    def install(self) -> None:
        """`make setup`, and what an administrator writes then; users are to be made between this and `assign`."""
        words = ["make", "-s", "-C", TOP, "setup", f"QMAIL_HOME={self.home}"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    def control(self, name: str, text: str) -> None:
        """Write a control file."""
        (self.home / "control" / name).write_text(text + "\n")

    def user(self, name: str) -> User:
        """A new user."""
        self.users[name] = User(name, self._homes / name, FIRST_UID + len(self.users))
        return self.users[name]

    def assign(self, aliases: dict[str, str]) -> None:
        """Compile users/assign; write the files of alias/."""
        lines = []
        for user in self.users.values():
            account = f"{user.name}:{user.uid}:{user.uid}:{user.home}"
            lines += [f"={user.name}:{account}:::", f"+{user.name}-:{account}:-::"]
        alias = pwd.getpwnam("alias")
        lines += [f"+:alias:{alias.pw_uid}:{alias.pw_gid}:{self.home}/alias:-::", "."]
        (self.home / "users/assign").write_text("".join(line + "\n" for line in lines))
        subprocess.run([self.home / "bin/qmail-newu"], env=self.environment, check=True)
        for name, text in aliases.items():
            (self.home / "alias" / f".qmail-{name}").write_text(text)

    def services(self) -> None:
        """Service directories as INSTALL describes them."""
        daemon = pwd.getpwnam("qmaild")
        logs = self.home / "log"
        logs.mkdir()
        os.chown(logs, pwd.getpwnam("qmaill").pw_uid, daemon.pw_gid)
        commands = {
            "queued": "qmail-queued",
            "dns": "setuidgid qmailr qmail-dns",
            "send": "qmail-start ./Maildir/",
            "smtpd": f"tcpserver -v -R -H -l 0 -c 200 -u {daemon.pw_uid} -g {daemon.pw_gid} 127.0.0.1 {PORT}"
            f" {self.home}/bin/qmail-smtpd",
        }
        for name, command in commands.items():
            directory = self.home / "service" / name
            (directory / "log").mkdir(parents=True)
            environment = f"exec env - QMAIL_HOME={self.home} PATH={self.home}/bin:/usr/bin:/bin"
            for path, line in ((directory / "run", command), (directory / "log/run", f"{LOGGER} {logs}/{name}")):
                path.write_text(f"#!/bin/sh\nexec 2>&1\n{environment} {line}\n")
                path.chmod(0o755)

    # ---- running

    def start(self) -> None:
        """As init does it."""
        words = [self.home / "bin/svscanboot", self.home / "service"]
        with self.spawning:
            self._boot = subprocess.Popen(words, env={"PATH": "/usr/bin:/bin"}, cwd="/", start_new_session=True)

    def keep(self) -> None:
        """What init does all the time: start svscanboot again, and take leave of orphans that ended."""
        for process in self.processes("Z"):
            # A child of a Popen is left to it.
            if process.parent == os.getpid() and not self._known(process.pid):
                os.waitpid(process.pid, os.WNOHANG)
        if self._boot is not None and self._boot.poll() is not None:
            self.start()

    def _known(self, pid: int) -> bool:
        with self.spawning:
            return pid in self.ours or (self._boot is not None and pid == self._boot.pid)

    def stop(self, patience: float = 100.0) -> list[Process]:
        """Everything, in order; what had to be killed is returned."""
        boot, self._boot = self._boot, None
        if boot is not None:
            boot.kill()
            boot.wait()
        services = [str(path) for path in (self.home / "service").iterdir()]
        words = [self.home / "bin/svc", "-dx", *services, *(f"{path}/log" for path in services)]
        subprocess.run(words, check=False, stderr=subprocess.DEVNULL)
        end = time.monotonic() + patience
        while left := self.processes():
            self.keep()
            for process in left:
                # Services whose supervise was killed, and readproctitle, hear of it only from us.
                if process.parent == os.getpid():
                    send(process, signal.SIGTERM)
            if time.monotonic() > end:
                for process in left:
                    send(process, signal.SIGKILL)
                return left
            time.sleep(0.1)
        return []

    def greets(self) -> bool:
        """Does the port answer?"""
        try:
            with socket.create_connection(("127.0.0.1", PORT), 5) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False

    def crowd(self) -> int:
        """How many messages are in the queue."""
        places = (self.home / "queue/mess").iterdir()
        return sum(len(os.listdir(place)) for place in places)

    # ---- its processes

    def processes(self, states: str = "RSDIWt") -> list[Process]:
        """All that live, but ours."""
        found = []
        with self.spawning:
            ours = {os.getpid(), *self.ours}
            for name in os.listdir("/proc"):
                if name.isdigit() and int(name) not in ours:
                    try:
                        process = Process(int(name))
                    except OSError:
                        continue  # it has just ended
                    if process.state in states:
                        found.append(process)
        return found

    def by_name(self) -> dict[str, list[Process]]:
        """The same, by name."""
        found: dict[str, list[Process]] = {}
        for process in self.processes():
            found.setdefault(process.name, []).append(process)
        return found

    def kill_one(self, chance: random.Random) -> tuple[str, str] | None:
        """End some process of some name. Returns both names, of process and signal."""
        names = self.by_name()
        if not names:
            return None
        victim = chance.choice(names[chance.choice(sorted(names))])
        number = signal.SIGTERM if chance.random() < 0.15 else signal.SIGKILL
        return (victim.name, signal.Signals(number).name) if send(victim, number) else None


def send(process: Process, number: int) -> bool:
    """Send a signal, to this process and to no later one of its number."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if Process(process.pid).began != process.began:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
