"""Whole systems: a host with its services, users with homes, and patience without sleeping on luck."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import BIN

PATIENCE = 30.0  # seconds until something that must happen has happened
FIRST_UID = 4242  # users of these tests, who need no entry in the account list


def eventually(what: str, ask: Callable[[], object], else_say: Callable[[], str] = str) -> object:
    """Ask until the answer is true, and return it; fail after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE:.0f} s: {else_say()}"
        time.sleep(0.02)
    return answer


def free_port() -> int:
    """A port on 127.0.0.1 that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Does anybody take connections there?"""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class User:
    """Somebody who gets mail, with a home that is his."""

    def __init__(self, name: str, uid: int, gid: int, home: Path) -> None:
        self.name, self.uid, self.gid, self.home = name, uid, gid, home
        self.file("Maildir")

    def file(self, name: str, text: str | None = None) -> Path:
        """A file of this user's, or (without text) a Maildir."""
        path = self.home / name
        made = [path]
        if text is None:
            for part in ("", "tmp", "new", "cur"):
                (path / part).mkdir(mode=0o700, parents=True, exist_ok=True)
            made += [path / part for part in ("tmp", "new", "cur")]
        else:
            path.write_text(text)
        if os.geteuid() == 0:
            for each in made:
                os.chown(each, self.uid, self.gid)
        return path

    def mail(self) -> list[bytes]:
        """What is in the Maildir, oldest first."""
        new = self.home / "Maildir" / "new"
        return [path.read_bytes() for path in sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns)]

    def wait_for_mail(self, count: int = 1) -> list[bytes]:
        """The mail, when there is so much of it."""
        eventually(
            f"mail {count} for {self.name}", lambda: len(self.mail()) >= count, lambda: f"only {len(self.mail())} came"
        )
        return self.mail()


class Host:
    """One mail host on 127.0.0.1: a home, its users, its services."""

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.name, self.port = home, name, free_port()
        self.environment = {"QMAIL_HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"}
        self.smtp_environment: dict[str, str] = {}
        self.smtp_options: list[str] = []  # of tcpserver
        self.users: list[User] = []
        self.services: dict[str, subprocess.Popen[bytes]] = {}
        self.around: list[str] = []  # what stands in front of each service's command
        self.control("me", name)
        self.control("locals", name)
        self.control("rcpthosts", name)

    def control(self, name: str, *lines: str) -> None:
        """Write a control file."""
        (self.home / "control" / name).write_text("".join(line + "\n" for line in lines))

    def user(self, name: str, account: str | None = None) -> User:
        """A new user; call before `start`. `account`: the account whose uid this is, for programs that look it up."""
        place = self.home.parent / f"{self.name}-{name}"
        place.mkdir(mode=0o700)
        uid = gid = FIRST_UID + len(self.users)
        if account is not None:
            entry = pwd.getpwnam(account)
            uid, gid = entry.pw_uid, entry.pw_gid
        if os.geteuid():
            uid, gid = os.geteuid(), os.getegid()
        else:
            os.chown(place, uid, gid)
        self.users.append(User(name, uid, gid, place))
        return self.users[-1]

    def alias(self, name: str, text: str) -> None:
        """An alias."""
        (self.home / "alias" / f".qmail-{name}").write_text(text)

    def assign(self) -> None:
        """Compile users/assign; without these lines qmail-getpw would look into the account list."""
        lines = []
        for user in self.users:
            lines.append(f"={user.name}:{user.name}:{user.uid}:{user.gid}:{user.home}:::")
            lines.append(f"+{user.name}-:{user.name}:{user.uid}:{user.gid}:{user.home}:-::")
        if os.geteuid():
            uid, gid, place = os.geteuid(), os.getegid(), self.home / "alias"
        else:
            entry = pwd.getpwnam("alias")
            uid, gid, place = entry.pw_uid, entry.pw_gid, self.home / "alias"
        lines += [f"+alias-:alias:{uid}:{gid}:{place}:-::", f"+:alias:{uid}:{gid}:{place}:-::", "."]
        (self.home / "users" / "assign").write_text("".join(line + "\n" for line in lines))
        subprocess.run([BIN / "qmail-newu"], env=self.environment, check=True)

    def start(self) -> Host:
        """Everything, until the port greets."""
        self.assign()
        self.run("queued", "qmail-queued")
        eventually("the socket of qmail-queued", lambda: (self.home / "qq/socket").exists())
        self.run("send", "qmail-start", "./Maildir/")
        self.start_smtpd()
        self.wait_for_log("send", "status: local")
        return self

    def start_rcptd(self) -> None:
        """qmail-rcptd, when it can be asked."""
        who = ["setuidgid", "qmailp"] if os.geteuid() == 0 else ["env"]
        self.run("rcptd", *who, f"{self.home}/bin/qmail-rcptd")
        eventually("the socket of qmail-rcptd", lambda: listens(self.home / "qp/rcpt"))
        eventually("the socket of qmail-lspawn", lambda: listens(self.home / "ql/homes"))

    def start_smtpd(self) -> None:
        """tcpserver and qmail-smtpd."""
        who = ["-u", str(pwd.getpwnam("qmaild").pw_uid), "-g", str(pwd.getpwnam("qmaild").pw_gid)]
        self.run(
            "smtpd", "tcpserver", "-v", "-R", "-H", "-l", self.name, "-c", "100",
            *(who if os.geteuid() == 0 else []), *self.smtp_options, "127.0.0.1", str(self.port),
            f"{self.home}/bin/qmail-smtpd",
            environment=self.smtp_environment,
        )  # fmt: skip
        eventually("a greeting", self.greets)

    def run(self, service: str, program: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        """Start one service; its output is its log."""
        if program != "env":
            program = f"{self.home}/bin/{program}"
        with open(self.home / f"{service}.log", "ab") as log:
            self.services[service] = subprocess.Popen(
                [*self.around, program, *arguments], env=self.environment | (environment or {}),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
            )  # fmt: skip

    def greets(self) -> bool:
        """Does the port answer with 220?"""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False

    def log(self, service: str = "send") -> str:
        """What a service has said."""
        return (self.home / f"{service}.log").read_text("latin-1")

    def wait_for_log(self, service: str, pattern: str, count: int = 1) -> None:
        """Until the log has `count` lines with this pattern."""
        eventually(
            f"{count} x {pattern!r} in {service}.log", lambda: len(re.findall(pattern, self.log(service))) >= count
        )

    def wait_for_empty_queue(self) -> None:
        """Until no message is left anywhere in the queue."""
        eventually("an empty queue", lambda: not self.queued())

    def queued(self) -> list[Path]:
        """Every message file in the queue."""
        found = []
        for name in ("mess", "intd", "todo", "info", "local", "remote", "bounce"):
            found += [path for path in (self.home / "queue" / name).rglob("*") if path.is_file()]
        return found

    def stop_service(self, service: str, number: int = signal.SIGTERM) -> int:
        """End one service, and return its code."""
        process = self.services.pop(service)
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(PATIENCE)

    def stop(self) -> None:
        """Everything, in the order of the path."""
        for service in ("smtpd", "rcptd", "checkd", "verifyd", "send", "queued"):
            if service in self.services:
                self.stop_service(service)


def listens(path: Path) -> bool:
    """Is there somebody behind this socket?"""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Make a host: `make_host("a.example")`; it is stopped at the end."""
    from qmail.stores.installation import create

    hosts: list[Host] = []

    def make(name: str = "here.example") -> Host:
        path = tmp_path / name
        create(os.fsencode(path))
        (path / "bin").rmdir()
        (path / "bin").symlink_to(BIN)
        hosts.append(Host(path, name))
        return hosts[-1]

    yield make
    for host in hosts:
        host.stop()
        for log in sorted(host.home.glob("*.log")):
            print(f"--- {host.name} {log.name}\n{log.read_text('latin-1')[-3000:]}")


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """One host, not started yet."""
    return make_host()
