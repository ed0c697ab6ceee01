"""What confinement must not disturb: a user's setuid filter, and control files that are links."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import needs_root, wait_until
from programs.test_qmail_smtpd_warm import Client, ready, serve, whole, workers
from programs.test_remote_workers import ENVELOPE, START, K, deliver, route, sender
from scripted import Peer
from sender import Sender
from serving import Start

__all__ = ["sender"]  # a fixture

FILTER = """
import os, sys
if os.geteuid() != os.getuid():
    message = sys.stdin.buffer.read()
    with open({result!r}, "w") as file:
        lines = open("/proc/self/status").read().splitlines()
        (privileges,) = [line for line in lines if line.startswith("NoNewPrivs")]
        print(os.getuid(), os.geteuid(), privileges, file=file)
    os._exit(0)
"""


@pytest.fixture
def place(home: Path) -> Path:
    (home / "control/me").write_text("mx.example.org\n")
    (home / "control/rcpthosts").write_text("example.org\n")
    return home


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with Start(tmp_path) as starting:
        yield starting


@needs_root
def test_a_setuid_filter_of_the_users_works(place: Path, start: Start, tmp_path: Path) -> None:
    alias = pwd.getpwnam("alias")
    library = tmp_path / "library"
    library.mkdir()
    result = tmp_path / "result"
    result.touch()
    os.chown(result, alias.pw_uid, alias.pw_gid)
    # An interpreter that is setuid, and a module that it loads before it would read a program.
    (library / "sitecustomize.py").write_text(FILTER.format(result=str(result)))
    filter = tmp_path / "filter"
    shutil.copy(os.path.realpath("/usr/bin/python3"), filter)
    os.chown(filter, alias.pw_uid, alias.pw_gid)
    filter.chmod(0o4755)
    server = serve(start, place, rules=f':allow,QMAILQUEUE="{filter}"\n', PYTHONPATH=str(library))
    whole(server)
    uid, euid, *privileges = result.read_text().split()
    assert (int(uid), int(euid)) == (pwd.getpwnam("qmaild").pw_uid, alias.pw_uid)
    assert privileges == ["NoNewPrivs:", "0"]


def test_a_control_file_may_become_a_link_that_leads_elsewhere(
    place: Path, queued: object, start: Start, tmp_path: Path
) -> None:
    server = serve(start, place)
    first = set(ready(server))
    whole(server)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "name").write_text("there\n")
    (place / "control/greeting.new").symlink_to(elsewhere / "name")
    os.rename(place / "control/greeting.new", place / "control/smtpgreeting")
    with Client(server) as client:
        assert client.hear(220) == [b"220 there ESMTP\r\n"]
    (elsewhere / "name.new").write_text("there, replaced\n")
    os.rename(elsewhere / "name.new", elsewhere / "name")
    with Client(server) as client:
        assert client.hear(220) == [b"220 there, replaced ESMTP\r\n"]
    wait_until(lambda: first.isdisjoint(workers(server)))


def test_a_control_directory_that_was_exchanged_is_read(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place)
    ready(server)
    shutil.copytree(place / "control", place / "control.new")
    (place / "control.new/smtpgreeting").write_text("exchanged\n")
    os.rename(place / "control", place / "control.old")
    os.rename(place / "control.new", place / "control")
    with Client(server) as client:
        assert client.hear(220) == [b"220 exchanged ESMTP\r\n"]


def test_routes_may_become_a_link_that_leads_elsewhere(sender: Sender, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Peer([*START, *(ENVELOPE * 500)]) as first, Peer([*START, *ENVELOPE]) as second:
        route(sender, first.port)
        deliver(sender)
        (elsewhere / "routes").write_text(f":[127.0.0.1]:{second.port}\n")
        (sender.home / "control/smtproutes").unlink()
        (sender.home / "control/smtproutes").symlink_to(elsewhere / "routes")

        def arrived() -> bool:
            assert deliver(sender) == K
            return bool(second.got)

        wait_until(arrived)
