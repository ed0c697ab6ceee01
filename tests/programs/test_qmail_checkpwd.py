"""qmail-checkpwd: checkers of the checkpassword kind, asked by qmail-authd for those who log in to send."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounts import PASSWORD, Accounts
from conftest import BIN, TOP, Run, alive, needs_root, wait_until
from programs.test_qmail_authd import HERE, Talk, plain
from qmail.protocols import login

# Says who is asked about to `told`; joe's password is `a secret`, and some names are trouble.
CHECKER = """#!/bin/sh
tr '\\0' '\\n' <&3 >{place}/said.$$
{{ read -r name; read -r word; read -r stamp; }} <{place}/said.$$
echo "$name $word $TCPREMOTEIP $(echo "$stamp" | tr -d 0-9)" >>{place}/told
case $name in
later) echo not now >&2; exit 111 ;;
dead) kill -KILL $$ ;;
stuck) sleep 100 & echo $! >{place}/child; wait ;;
slow*) echo >>{place}/started; while [ ! -e {place}/gate ]; do sleep 0.05; done ;;
esac
[ "$name $word" = "joe a secret" ] || exit 1
exec "$@"
"""
WITH_LESS = """
import sys
sys.path.insert(0, "{top}/src")
from qmail.host import program
from qmail.programs.receive import qmail_checkpwd
qmail_checkpwd.PATIENCE = 0.5
program.run(qmail_checkpwd.main)
"""

Service = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Path:
    (home / "control/logins").write_text("checker\n")
    checker = tmp_path / "checker"
    checker.write_text(CHECKER.format(place=tmp_path))
    checker.chmod(0o755)
    return tmp_path


@pytest.fixture
def service(home: Path, place: Path) -> Iterator[Service]:
    """Start qmail-checkpwd with a checker, and the qmail-authd that asks it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*checker: str | Path, before: list[str] | None = None) -> subprocess.Popen[bytes]:
        words = [*(before or []), BIN / "qmail-checkpwd", *checker]
        for command, name in ((words, "ql/checkpw"), ([*as_qmailp(), BIN / "qmail-authd"], "qp/login")):
            log = (place / f"log.{name[3:]}").open("wb")
            env = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "QMAIL_HOME": str(home)}
            with log:
                process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=log)
            started.append(process)
            wait_until(lambda process=process, name=name: (home / name).is_socket() or process.poll() is not None)  # type: ignore[misc]
            assert process.poll() is None, (place / f"log.{name[3:]}").read_bytes()
        return started[0]

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


def as_qmailp() -> list[str]:
    return [str(BIN / "setuidgid"), "qmailp"] if os.geteuid() == 0 else []


def test_the_checker_decides_and_hears_all_that_the_interface_says(home: Path, place: Path, service: Service) -> None:
    service(place / "checker", "true")
    assert plain(home, b"joe", b"a secret") == b"Kjoe"
    assert plain(home, b"joe", b"another") == b"N"
    talk = Talk(home)
    assert talk.say(login.begin(b"2001:db8::1", b"LOGIN", b"joe")) == b"CPassword:"
    assert talk.say(b"Ra secret") == b"Kjoe"
    assert (
        place / "told"
    ).read_text() == "joe a secret 192.0.2.1 \njoe another 192.0.2.1 \njoe a secret 2001:db8::1 \n"


def test_what_is_neither_yes_nor_no_may_pass_and_is_logged(home: Path, place: Path, service: Service) -> None:
    service(place / "checker", "true")
    for name in (b"later", b"dead"):
        assert plain(home, name, b"x") == b"Z"
    assert plain(home, b"joe", b"a secret") == b"Kjoe"
    assert (place / "log.checkpw").read_text() == (
        "not now\nqmail-checkpwd: alert: the checker has exited 111\n"
        "qmail-checkpwd: alert: the checker was killed by signal 9\n"
    )


def test_a_checker_that_is_not_there_lets_nobody_in(home: Path, place: Path, service: Service) -> None:
    service(place / "no-such-checker", "true")
    assert plain(home, b"joe", b"a secret") == b"Z"
    assert b"the checker has exited 1" in (place / "log.checkpw").read_bytes()


def test_scram_is_not_to_be_had_where_a_checker_must_see_the_password(
    home: Path, place: Path, service: Service
) -> None:
    service(place / "checker", "true")
    assert Talk(home).say(login.begin(HERE, b"SCRAM-SHA-256", b"n,,n=joe,r=x")) == b"M"


def test_without_qmail_checkpwd_everybody_may_try_again(home: Path, place: Path, service: Service) -> None:
    service(place / "checker", "true").kill()
    wait_until(lambda: plain(home, b"joe", b"a secret") == b"Z")


def test_a_name_and_a_password_that_no_checker_could_be_told_are_wrong(
    home: Path, place: Path, service: Service
) -> None:
    service(place / "checker", "true")
    assert plain(home, b"j" * 255, b"x" * 255) == b"N"
    assert not (place / "told").exists()


def started(place: Path) -> int:
    return (place / "started").read_bytes().count(b"\n") if (place / "started").exists() else 0


def test_many_at_once_for_one_account_are_as_slow_as_one_after_the_other(
    home: Path, place: Path, service: Service
) -> None:
    service(place / "checker", "true")
    talks = [Talk(home) for _ in range(10)]
    for number, talk in enumerate(talks):
        talk.socket.sendall(login.begin(b"198.51.100.%d" % number, b"PLAIN", b"\0slow\0x"))
    wait_until(lambda: started(place) >= 3)
    time.sleep(0.2)
    assert started(place) in (3, 4), "what is under way counts as failed, and a failure fades"
    (place / "gate").touch()
    assert [talk.socket.recv(10) for talk in talks[:3]] == [b"N"] * 3


@needs_root
def test_only_qmail_authds_user_may_ask(home: Path, place: Path, service: Service) -> None:
    service(place / "checker", "true")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(30)
        asking.connect(str(home / "ql/checkpw"))
        assert asking.recv(100) == b"Z", "not even root"


def test_one_that_hangs_is_killed_with_its_children(home: Path, place: Path) -> None:
    environ = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home)}
    script = WITH_LESS.format(top=TOP)
    command = [sys.executable, "-c", script, str(place / "checker"), "true"]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    wait_until(lambda: (home / "ql/checkpw").is_socket() or process.poll() is not None)
    try:
        code = (
            "import socket,sys; s=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); "
            "s.sendall(b'a\\0stuck\\0x'); print(s.recv(9))"
        )
        done = subprocess.run(
            [*as_qmailp(), "/usr/bin/python3", "-c", code, home / "ql/checkpw"], capture_output=True, timeout=60
        )
        assert done.stdout == b"b'Z'\n", done.stderr
        child = int((place / "child").read_text())
        wait_until(lambda: not alive(child))
    finally:
        process.terminate()
        process.wait(30)
    assert process.stderr is not None
    assert b"alert: the checker was killed by signal 9" in process.stderr.read()


@needs_root
def test_an_account_of_the_system_logs_in_by_pam(home: Path, place: Path, service: Service, tmp_path: Path) -> None:
    pam = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n"
    accounts = Accounts(tmp_path, pam=pam)
    service("checkpassword", "true", before=accounts.command)
    assert plain(home, b"joe", PASSWORD) == b"Kjoe"
    assert plain(home, b"joe", PASSWORD + b"!") == b"N"
    assert plain(home, b"expired", PASSWORD) == b"N"
    assert plain(home, b"toor", PASSWORD) == b"N"


@needs_root
def test_the_checker_may_run_as_an_account_of_its_own(home: Path, place: Path, service: Service) -> None:
    os.chmod(place, 0o777)
    service("-u", "nobody", place / "checker", "true")
    assert plain(home, b"joe", b"a secret") == b"Kjoe"
    assert (place / "told").stat().st_uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.parametrize("words", [[], ["-x", "y"], ["-u"], ["-u", "nobody"]])
def test_wrong_words_are_usage(home: Path, program: Run, words: list[str]) -> None:
    done = program("qmail-checkpwd", *words, env={"QMAIL_HOME": str(home)})
    assert done.returncode == 100
    assert done.stderr.startswith(b"qmail-checkpwd: usage: ")


def test_an_unknown_account_and_a_second_one_say_so(home: Path, place: Path, service: Service, program: Run) -> None:
    done = program("qmail-checkpwd", "-u", "nobodysuch", "true", env={"QMAIL_HOME": str(home)})
    assert (done.returncode, done.stderr) == (100, b"qmail-checkpwd: fatal: no account nobodysuch\n")
    service(place / "checker", "true")
    done = program("qmail-checkpwd", "true", env={"QMAIL_HOME": str(home)})
    assert (done.returncode, done.stderr) == (111, b"qmail-checkpwd: fatal: qmail-checkpwd is already running\n")


def test_another_word_in_control_logins_stops_qmail_authd(home: Path, place: Path, program: Run) -> None:
    (home / "control/logins").write_text("pam\n")
    done = program("qmail-authd", env={"QMAIL_HOME": str(home)})
    assert done.returncode == 111
    assert b"control/logins is neither" in done.stderr
