"""A whole installation as root starts it: every service kept by svscan, logs included, and who its processes are."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from pathlib import Path

from conftest import BIN, wait_until
from journeys.conftest import Host
from securing import certificate
from servicing import descendants

LOGGER = "setuidgid qmaill multilog t"


class Process:
    """One process, as the kernel describes it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        self.name, self.words = fields["Name"], [os.fsdecode(word) for word in words]
        self.uids = {int(word) for word in fields["Uid"].split()}
        self.gids = {int(word) for word in fields["Gid"].split()}
        self.groups = {int(word) for word in fields["Groups"].split()}
        self.parent = int(fields["PPid"])
        self.powers = int(fields["CapEff"], 16) | int(fields["CapPrm"], 16) | int(fields["CapInh"], 16)
        self.no_new_privileges = fields["NoNewPrivs"] == "1"
        self.filtered = fields["Seccomp"] == "2"

    def __repr__(self) -> str:
        return f"<{self.pid} {' '.join(self.words)[:60]}>"


class Running:
    """svscan below a shell that hands its words to readproctitle, as svscanboot does."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._boot: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the port greets."""
        host = self.host
        host.assign()
        daemon = pwd.getpwnam("qmaild")
        logs = host.home / "log"
        logs.mkdir()
        os.chown(logs, pwd.getpwnam("qmaill").pw_uid, daemon.pw_gid)
        (host.home / "rules").write_text(":allow\n")
        certificate(host.home / "control/servercert.pem", "here.example")
        commands = {
            "queued": "qmail-queued",
            "dns": "setuidgid qmailr qmail-dns",
            "rcptd": "setuidgid qmailp qmail-rcptd",
            "verifyd": "setuidgid qmailr qmail-verifyd",
            "checkd": "qmail-checkd",
            "tlsd": "qmail-tlsd",
            "send": "qmail-start ./Maildir/",
            "smtpd": f"tcpserver -v -R -H -l 0 -c 50 -u {daemon.pw_uid} -g {daemon.pw_gid} 127.0.0.1 {host.port}"
            f" {host.home}/bin/qmail-smtpd",
        }
        for name, command in commands.items():
            directory = host.home / "service" / name
            (directory / "log").mkdir(parents=True)
            environment = f"exec env - QMAIL_HOME={host.home} PATH={host.home}/bin:/usr/bin:/bin"
            for path, line in ((directory / "run", command), (directory / "log/run", f"{LOGGER} {logs}/{name}")):
                path.write_text(f"#!/bin/sh\nexec 2>&1\n{environment} {line}\n")
                path.chmod(0o755)
        self._boot = subprocess.Popen(
            [BIN / "svscanboot", host.home / "service"], env={"PATH": "/usr/bin:/bin"}, cwd="/",
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wait_until(host.greets)
        wait_until(lambda: "status: local" in self.log("send"))
        # Where qmail-start was first, its stand-in goes when the service comes.
        wait_until(lambda: is_served(host.home))
        for name in ("qp/rcpt", "qr/verify", "qc/check"):
            wait_until((host.home / name).exists)

    def log(self, service: str) -> str:
        """What a service has said."""
        path = self.host.home / "log" / service / "current"
        return path.read_text("latin-1") if path.exists() else ""

    def processes(self) -> list[Process]:
        """All of them, those that were started in sessions of their own included."""
        assert self._boot is not None
        found = {}
        home = os.fsencode(self.host.home)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if home in (entry / "environ").read_bytes() and (entry / "cmdline").read_bytes():
                        found[int(entry.name)] = Process(int(entry.name))
                except OSError:
                    continue
        for pid in (self._boot.pid, *descendants(self._boot.pid)):
            try:
                found[pid] = Process(pid)
            except (OSError, KeyError):
                continue  # it has just ended
        return [process for process in found.values() if process.words != [""]]

    def named(self, name: str) -> list[Process]:
        """The processes of this name."""
        return [process for process in self.processes() if process.name == name]

    def stop(self) -> None:
        """Every process has ended when this returns."""
        if self._boot is None:
            return
        left = {process.pid for process in self.processes()}
        services = [str(path) for path in (self.host.home / "service").iterdir()]
        self._boot.kill()
        self._boot.wait()
        subprocess.run([BIN / "svc", "-dx", *services, *(f"{path}/log" for path in services)], check=False)
        wait_until(lambda: not any(_lives(pid) for pid in left), 60)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_served(home: Path) -> bool:
    """Does a qmail-queued that is a service take messages? Until then, a stand-in may go at any moment."""
    lock = home / "qq/lock"
    words = lock.read_text().split() if lock.exists() else []
    with socket.socket(socket.AF_UNIX) as probe:
        return len(words) == 2 and probe.connect_ex(str(home / "qq/socket")) == 0
