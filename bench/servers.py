"""The two servers: each with its own directory, port and route, started and stopped by us."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from machine import Group

TOP = Path(__file__).resolve().parent.parent
PLACE = Path("/var/tmp/pyqmail-bench")
USER = "pyqbench"
DOMAIN = "bench.test"
SINK = 2600
FEW = 200  # files that may be deleted at once


def account() -> pwd.struct_passwd:
    """The user who gets the mail, with a home where the servers keep theirs."""
    home = PLACE / "home"
    try:
        if pwd.getpwnam(USER).pw_dir != str(home):
            subprocess.run(["usermod", "-d", home, USER], check=True)
    except KeyError:
        subprocess.run(["useradd", "-M", "-d", home, "-s", "/bin/sh", USER], check=True)
    user = pwd.getpwnam(USER)
    home.mkdir(mode=0o755, exist_ok=True)
    os.chown(home, user.pw_uid, user.pw_gid)
    return user


def maildir() -> Path:
    """The user's Maildir."""
    return PLACE / "home/Maildir"


def fresh_maildir() -> None:
    """An empty one.

    The last one is put aside until the end: on ext4 without a journal a new file costs the more the more files were
    deleted in the last minutes, and thousands of mails that vanish at once are ours, not the server's.
    """
    if maildir().exists() and len(os.listdir(maildir() / "new")) < FEW:
        shutil.rmtree(maildir())  # large ones would fill the disk
    elif maildir().exists():
        old = PLACE / "old"
        old.mkdir(mode=0o700, exist_ok=True)
        maildir().rename(tempfile.mkdtemp(dir=old))
    for path in (maildir(), *(maildir() / name for name in ("tmp", "new", "cur"))):
        path.mkdir(mode=0o700)
        os.chown(path, account().pw_uid, account().pw_gid)


def remove_old_maildirs() -> None:
    """At the end."""
    shutil.rmtree(PLACE / "old", ignore_errors=True)


def answers(port: int) -> bool:
    """Does a server greet on this port?"""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(5)
            return connection.recv(3) == b"220"
    except OSError:
        return False


def wait_until_up(port: int) -> None:
    """Raises RuntimeError after 30 seconds."""
    deadline = time.monotonic() + 30
    while not answers(port):
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing greets on port {port}")
        time.sleep(0.1)


def wait_until_listening(path: Path) -> None:
    """The same for a local socket."""
    deadline = time.monotonic() + 30
    while True:
        with socket.socket(socket.AF_UNIX) as connection:
            if not connection.connect_ex(str(path)):
                return
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing listens at {path}")
        time.sleep(0.01)


class Ours:
    """pyqmail in root mode, the services kept by svscan."""

    name = "pyqmail"
    port = 2527

    def __init__(self) -> None:
        self.home = PLACE / self.name
        self.group = Group(self.name)
        self.inject = f"{self.home}/bin/sendmail -i {USER}@{DOMAIN}"
        self._svscan: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """A home as `make setup` makes it, its control files, rules, services."""
        shutil.rmtree(self.home, ignore_errors=True)
        subprocess.run(
            ["make", "-s", "-C", TOP, "setup", f"QMAIL_HOME={self.home}"], check=True, stdout=subprocess.DEVNULL
        )
        control = self.home / "control"
        for name, text in {
            "me": DOMAIN, "locals": DOMAIN, "rcpthosts": f"{DOMAIN}\nsink.test\ndead.test", "defaultdomain": DOMAIN,
            "smtproutes": f"sink.test:[127.0.0.1]:{SINK}\ndead.test:[127.0.0.9]:2699",
            "concurrencylocal": "20", "concurrencyremote": "50", "databytes": "52428800",
        }.items():  # fmt: skip
            (control / name).write_text(text + "\n")
        (self.home / "alias" / ".qmail-default").write_text(f"&{USER}@{DOMAIN}\n")
        user = account()
        (self.home / "users" / "assign").write_text(
            f"={USER}:{USER}:{user.pw_uid}:{user.pw_gid}:{user.pw_dir}:::\n"
            f"+{USER}-:{USER}:{user.pw_uid}:{user.pw_gid}:{user.pw_dir}:-::\n.\n"
        )
        home = Path(user.pw_dir)
        for name in (".qmail", ".qmail-default"):
            (home / name).write_text("./Maildir/\n")
            os.chown(home / name, user.pw_uid, user.pw_gid)
        environment = {"QMAIL_HOME": str(self.home), "PATH": f"{self.home}/bin:/usr/bin:/bin"}
        subprocess.run([self.home / "bin/qmail-newu"], env=environment, check=True)
        rules = b":allow\n"
        subprocess.run(
            [self.home / "bin/tcprules", self.home / "tcp.cdb", self.home / "tcp.tmp"],
            input=rules,
            env=environment,
            check=True,
        )
        logs = self.home / "log"
        logs.mkdir()
        os.chown(logs, pwd.getpwnam("qmaill").pw_uid, pwd.getpwnam("qmaild").pw_gid)
        self._services(logs)

    def _as(self, name: str) -> str:
        """What goes before a program that runs as this user."""
        return f"setuidgid {name} "

    def _services(self, logs: Path) -> None:
        commands = {
            "queued": "qmail-queued",
            "rcptd": self._as("qmailp") + "qmail-rcptd",
            "send": "qmail-start ./Maildir/",
            "smtpd": f"tcpserver -v -R -H -l 0 -x {self.home}/tcp.cdb -c 250 {self._identity()}"
            f" 127.0.0.1 {self.port} {self.home}/bin/qmail-smtpd",
        }
        for name, command in commands.items():
            directory = self.home / "service" / name
            (directory / "log").mkdir(parents=True)
            environment = f"exec env - QMAIL_HOME={self.home} PATH={self.home}/bin:/usr/bin:/bin"
            for path, line in (
                (directory / "run", command),
                (directory / "log/run", f"{self._as('qmaill')}multilog t {logs}/{name}"),
            ):
                path.write_text(f"#!/bin/sh\nexec 2>&1\n{environment} {line}\n")
                path.chmod(0o755)

    def _identity(self) -> str:
        daemon = pwd.getpwnam("qmaild")
        return f"-u {daemon.pw_uid} -g {daemon.pw_gid}"

    def _argv(self) -> list[str]:
        return [f"{self.home}/bin/svscan", "--stop", f"{self.home}/service"]

    def start(self) -> None:
        """Returns when the port greets, and messages are taken."""
        self._svscan = subprocess.Popen(
            self._argv(),
            env={"PATH": f"{self.home}/bin:/usr/bin:/bin"}, start_new_session=True, preexec_fn=self.group.enter,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(PLACE / "svscan.log", "wb"),
        )  # fmt: skip
        wait_until_up(self.port)
        wait_until_listening(self.home / "qq/socket")

    def stop(self) -> None:
        """Returns when every process has ended."""
        if self._svscan is not None:
            self._svscan.send_signal(signal.SIGTERM)
            self._svscan.wait(90)
            self._svscan = None

    def leaders(self) -> list[int]:
        """Pids that all processes descend from."""
        return [self._svscan.pid] if self._svscan else []


class SingleUser(Ours):
    """The same, all of it as the one user whose mail it is."""

    name = "single-user"
    port = 2528

    def install(self) -> None:
        """The home is the user's, and with it the queue."""
        super().install()
        subprocess.run(["chown", "-R", USER + ":", self.home], check=True)

    def _as(self, name: str) -> str:
        return ""

    def _identity(self) -> str:
        return ""

    def _argv(self) -> list[str]:
        return [f"{self.home}/bin/setuidgid", USER, *super()._argv()]


class Postfix:
    """Debian's Postfix with a configuration and queue of its own."""

    name = "postfix"
    port = 2526

    def __init__(self) -> None:
        self.config = PLACE / "postfix"
        self.group = Group(self.name)
        self.inject = f"/usr/sbin/sendmail -C {self.config} -i {USER}@{DOMAIN}"

    def install(self) -> None:
        """main.cf with limits like ours, no DNS, its own queue."""
        shutil.rmtree(self.config, ignore_errors=True)
        for name in ("", "spool", "data"):
            (self.config / name).mkdir(mode=0o755)
        os.chown(self.config / "data", pwd.getpwnam("postfix").pw_uid, -1)
        (self.config / "main.cf").write_text(MAIN_CF.format(place=self.config, user=USER, domain=DOMAIN, sink=SINK))
        (self.config / "transport").write_text(f"sink.test smtp:[127.0.0.1]:{SINK}\ndead.test smtp:[127.0.0.9]:2699\n")
        master = Path("/etc/postfix/master.cf.proto")
        text = (master if master.exists() else Path("/usr/share/postfix/master.cf.dist")).read_text()
        lines = [
            f"127.0.0.1:{self.port} inet n - n - 250 smtpd" if line.split()[:2] == ["smtp", "inet"] else line
            for line in text.splitlines()
        ]
        (self.config / "master.cf").write_text("\n".join(lines).replace(" y ", " n ") + "\n")
        subprocess.run(["postmap", "-c", self.config, self.config / "transport"], check=True)
        # The shared main.cf names every further configuration that may be used.
        subprocess.run(["postconf", "-e", f"alternate_config_directories={self.config}"], check=True)

    def start(self) -> None:
        """Returns when the port greets."""
        done = subprocess.run(
            ["postfix", "-c", self.config, "start"], capture_output=True, check=False, preexec_fn=self.group.enter
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        wait_until_up(self.port)

    def stop(self) -> None:
        """Returns when master has ended."""
        subprocess.run(["postfix", "-c", self.config, "stop"], capture_output=True, check=False)

    def leaders(self) -> list[int]:
        """The pid of master."""
        return [int((self.config / "spool/pid/master.pid").read_text())]


MAIN_CF = """compatibility_level = 3.6
queue_directory = {place}/spool
data_directory = {place}/data
myhostname = mx.{domain}
mydomain = {domain}
myorigin = {domain}
mydestination = {domain}
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.255.255.254/32
relay_domains = sink.test dead.test
smtpd_relay_restrictions = reject_unauth_destination
transport_maps = hash:{place}/transport
alias_maps =
alias_database =
home_mailbox = Maildir/
recipient_delimiter = +-
biff = no
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
local_destination_concurrency_limit = 20
default_destination_concurrency_limit = 50
smtpd_client_connection_count_limit = 0
message_size_limit = 52428800
mailbox_size_limit = 0
maillog_file = /var/log/pyqmail-bench-postfix.log
"""
