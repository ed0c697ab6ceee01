"""The running system: every process is who it should be, and nothing more."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import smtplib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, TOP, needs_root, open_to_others, wait_until
from journeys.conftest import Host
from privileges.running import Process, Running

pytestmark = needs_root

# Name of a process: its user and group.
WHO = {
    "svscan": ("root", "root"),
    "supervise": ("root", "root"),
    "qmail-lspawn": ("root", "root"),  # and its zygote
    "readproctitle": ("nobody", "nogroup"),
    "tcpserver": ("qmaild", "nofiles"),
    "qmail-smtpd": ("qmaild", "nofiles"),
    "qmail-queued": ("qmailq", "qmail"),
    "qmail-clean": ("qmailq", "qmail"),
    "qmail-send": ("qmails", "qmail"),
    "qmail-rspawn": ("qmailr", "qmail"),
    "qmail-remote": ("qmailr", "qmail"),
    "qmail-dns": ("qmailr", "qmail"),
    "qmail-tlsd": ("qmailt", "nofiles"),  # and the one that reads the keys: root
    "qmail-getpw": ("qmailp", "nofiles"),
    "qmail-rcptd": ("qmailp", "nofiles"),
    "qmail-verifyd": ("qmailr", "qmail"),
    "qmail-checkd": ("qmailc", "nofiles"),
    "multilog": ("qmaill", "nofiles"),
}
ROOT = {"svscan", "supervise", "qmail-lspawn"}
KEEPER = "qmail-tlsd"  # one of this name reads the keys, as root, and speaks to nobody


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The whole system, at work: a message has arrived, one delivery goes on, one waits for another host."""
    from qmail.stores.installation import create

    path = open_to_others(tmp_path_factory.mktemp("running")) / "home"
    create(os.fsencode(path))
    (path / "bin").rmdir()
    (path / "bin").symlink_to(BIN)
    host = Host(path, "here.example")
    joe = host.user("joe")
    joe.file(".qmail", "./Maildir/\n")
    joe.file(".qmail-slow", "|echo $$ > pid; exec sleep 100\n")
    silent = socket.create_server(("127.0.0.1", 0))
    host.control("smtproutes", f"elsewhere.example:[127.0.0.1]:{silent.getsockname()[1]}")
    host.control("rcpthosts", host.name, "elsewhere.example")
    system = Running(host)
    try:
        system.start()
        with smtplib.SMTP("127.0.0.1", host.port) as client:
            client.sendmail("", ["joe@here.example"], "Subject: one\r\n\r\nx\r\n")
            client.sendmail("", ["joe-slow@here.example"], "Subject: two\r\n\r\nx\r\n")
            client.sendmail("", ["joe@elsewhere.example"], "Subject: three\r\n\r\nx\r\n")
        joe.wait_for_mail()
        wait_until(lambda: (joe.home / "pid").exists() and bool(system.named("qmail-remote")))
        yield system
    finally:
        for process in system.named("sleep"):
            os.kill(process.pid, signal.SIGTERM)
        silent.close()
        system.stop()


def identity(user: str, group: str) -> tuple[set[int], set[int]]:
    return {pwd.getpwnam(user).pw_uid}, {grp.getgrnam(group).gr_gid}


def keeps_keys(process: Process) -> bool:
    return process.name == KEEPER and 0 in process.uids


def is_zygote(process: Process) -> bool:
    return process.words[-1:] == ["zygote"]


@pytest.mark.parametrize("name", sorted(WHO))
def test_a_process_has_its_user_its_group_and_no_other(running: Running, name: str) -> None:
    found = running.named(name)
    assert found
    for process in found:
        if keeps_keys(process):
            continue
        assert (process.uids, process.gids) == identity(*WHO[name]), process
        if name not in ROOT:
            assert process.groups <= process.gids, process
            assert process.powers == 0, process


def test_no_other_process_stays_root(running: Running) -> None:
    roots = [process for process in running.processes() if 0 in process.uids | process.gids]
    assert {process.name for process in roots} == {*ROOT, KEEPER}
    assert [process.name for process in roots].count(KEEPER) == 1
    lspawns = [process for process in roots if process.name == "qmail-lspawn"]
    assert sorted(map(is_zygote, lspawns)) == [False, True]


def test_nobody_is_running_whom_the_table_does_not_know(running: Running) -> None:
    recipients = {"qmail-local", "sh", "sleep"}
    assert {process.name for process in running.processes()} - recipients == set(WHO)


CONFINED = {
    "qmail-tlsd", "qmail-smtpd", "qmail-remote", "qmail-dns", "qmail-rcptd", "qmail-queued", "qmail-clean",
    "qmail-send", "qmail-verifyd",
}  # fmt: skip


def test_who_need_no_more_is_confined_and_whoever_runs_programs_of_users_is_not(running: Running) -> None:
    for process in running.processes():
        wanted = process.name in CONFINED and not keeps_keys(process)
        assert (process.no_new_privileges, process.filtered) == (wanted, wanted), process


def test_a_delivery_and_what_it_runs_are_the_recipient(running: Running) -> None:
    joe = running.host.users[0]
    found = [process for name in ("qmail-local", "sleep") for process in running.named(name)]
    assert {process.name for process in found} == {"qmail-local", "sleep"}
    for process in found:
        assert (process.uids, process.gids, process.groups) == ({joe.uid}, {joe.gid}, {joe.gid}), process
        assert process.powers == 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("installed") / "qmail"
    subprocess.run(["sh", TOP / "setup/install.sh", TOP / ".venv", home], check=True, stdout=subprocess.DEVNULL)
    return home


def test_no_setuid_or_setgid_file_is_installed(installed: Path) -> None:
    files = [path for path in installed.rglob("*") if not path.is_symlink() and not path.is_dir()]
    assert len(files) > 200
    assert not [path for path in files if path.stat().st_mode & 0o6000]
    assert not [path for path in files if "security.capability" in os.listxattr(path)]


def test_nothing_of_what_is_installed_can_be_changed_by_a_qmail_user(installed: Path) -> None:
    names = ("bin", "lib", "control", "users")
    paths = [installed, *(path for name in names for path in (installed / name).rglob("*"))]
    assert not [path for path in paths if path.lstat().st_uid or path.stat().st_mode & 0o022]
