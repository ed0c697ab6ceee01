"""qmail-doctor: one broken installation for each finding, and silence for one that is whole."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conftest import Run, needs_root
from nameserver import NameServer
from qmail.formats import cdb, tcprules
from qmail.host import sandbox
from qmail.stores import checkup
from serving import Start

ME = "mail.here.example"


@pytest.fixture
def whole(home: Path) -> Path:
    """An installation with nothing wrong."""
    for name, text in {"me": ME, "locals": f"{ME}\nhere.example", "rcpthosts": f"{ME}\nhere.example"}.items():
        write(home, f"control/{name}", text + "\n")
    for name in ("postmaster", "mailer-daemon", "abuse", "root"):
        write(home, f"alias/.qmail-{name}", "&joe@here.example\n")
    service(home, "send", "exec env - PATH=/x qmail-start '|dot-forward .forward\n./Maildir/' 2>&1\n", down=True)
    service(home, "send/log", "exec setuidgid qmaill multilog t /var/log/qmail/send\n")
    return home


@pytest.fixture(scope="module")
def dns() -> Iterator[NameServer]:
    with NameServer({(ME, "A"): ["127.0.0.1"]}) as server:
        yield server


def write(home: Path, name: str, text: str | bytes = "x\n", mode: int = 0o644) -> None:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (home / name).chmod(mode)


def service(home: Path, name: str, script: str, *, down: bool = False) -> None:
    write(home, f"service/{name}/run", "#!/bin/sh\n" + script, 0o755)
    if down:
        write(home, f"service/{name}/down", "")


def smtpd(home: Path, options: str, rules: bytes | None = None, *, up: int = 0) -> None:
    if rules is not None:
        pairs = tcprules.records(list(tcprules.rules(rules.splitlines(True))))
        write(home, "tcp.cdb", cdb.make(pairs))
        options += f" -x {home}/tcp.cdb"
    line = f"exec tcpserver {options} 127.0.0.1 {up or 25} {home}/bin/qmail-smtpd 2>&1\n"
    service(home, "smtpd", line, down=not up)


def examine(program: Run, home: Path, dns: NameServer) -> subprocess.CompletedProcess[bytes]:
    return program("qmail-doctor", "--services", str(home / "service"), env={"QMAIL_HOME": str(home), **dns.environ})


def test_a_whole_installation_is_called_so(whole: Path, program: Run, dns: NameServer) -> None:
    done = examine(program, whole, dns)
    assert done.returncode == 0
    assert done.stdout.startswith(b"nothing is wrong in " + os.fsencode(whole) + b"\n")


def test_what_the_kernel_lacks_is_mentioned() -> None:
    def said(landlock: int, seccomp: bool) -> list[bytes]:
        return [each.what for each in checkup.confinement(sandbox.Available(landlock, seccomp))]

    assert said(2, True) == []
    assert [b"Landlock" in what for what in said(0, False)] == [True, False]
    assert b"seccomp" in said(2, False)[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def many(home: Path) -> None:
    write(home, "control/smtproutes", "a.example:b\nA.example:c\n")


def missing_name(home: Path) -> None:
    write(home, "control/me", "other.here.example\n")


def user_home(home: Path, mode: int) -> None:
    place = home.parent / "joe"
    place.mkdir()
    os.chown(place, 4242, 4242) if os.geteuid() == 0 else None
    uid = place.stat().st_uid
    place.chmod(mode)
    write(home, "users/cdb", cdb.make([(b"!joe\0", f"joe\0{uid}\0{uid}\0{place}\0\0".encode()), (b"", b"")]))


Break = Callable[[Path], object]
BROKEN: dict[str, tuple[str, Break]] = {
    "no name": ("control/me is missing", lambda home: (home / "control/me").unlink()),
    "a short name": ("control/me is `mail`", lambda home: write(home, "control/me", "mail\n")),
    "an unknown name": ("the DNS has no address for control/me", missing_name),
    "no rcpthosts": ("control/rcpthosts is missing", lambda home: (home / "control/rcpthosts").unlink()),
    "a wildcard in locals": ("locals has `.here.example`", lambda home: write(home, "control/locals", ".here.example")),
    "a local nobody reaches": ("locals has far.example, and rcpthosts has not", lambda home: write(
        home, "control/locals", "far.example\n")),
    "a virtual domain nobody reaches": ("virtualdomains has v.example, and rcpthosts", lambda home: write(
        home, "control/virtualdomains", "v.example:v\n")),
    "local and virtual": ("virtualdomains has here.example, and so has locals", lambda home: write(
        home, "control/virtualdomains", "here.example:v\n")),
    "no prefix": ("virtualdomains has `here.example`, without", lambda home: write(
        home, "control/virtualdomains", "here.example\n")),
    "no number": ("control/databytes is no number", lambda home: write(home, "control/databytes", "ten\n")),
    "mail that is held": ("control/concurrencyremote is 0", lambda home: write(home, "control/concurrencyremote", "0")),
    "a route without colon": ("without a colon", lambda home: write(home, "control/smtproutes", "a.example\n")),
    "an extension of nobody": ("has `BINARYMIME`, which is no extension", lambda home: write(
        home, "control/smtpextensions", "CHUNKING\nBINARYMIME\n")),
    "a name that is none": ("rcpthosts has `büch\u3002example`, which is beyond ASCII", lambda home: write(
        home, "control/rcpthosts", "here.example\nbüch\u3002example\n")),
    "a route twice": ("smtproutes has `A.example` twice", many),
    "no postmaster": ("no alias postmaster", lambda home: (home / "alias/.qmail-postmaster").unlink()),
    "an empty alias": (".qmail-root is empty", lambda home: write(home, "alias/.qmail-root", "")),
    "a blank line": (".qmail-root begins with a blank", lambda home: write(home, "alias/.qmail-root", "\n&a@b.c\n")),
    "capitals": ("has capitals in its name", lambda home: write(home, "alias/.qmail-Joe")),
    "a dot": ("has a dot in its name", lambda home: write(home, "alias/.qmail-a.b")),
    "an open alias": (".qmail-root is writable", lambda home: (home / "alias/.qmail-root").chmod(0o666)),
    "an open home": ("joe is writable for everybody", lambda home: user_home(home, 0o777)),
    "a sticky home": ("joe is sticky", lambda home: user_home(home, 0o1755)),
    "an old users/cdb": ("users/cdb is missing, or older", lambda home: write(home, "users/assign", ".\n")),
    "old aliases": ("aliases.cdb is missing, or older", lambda home: (write(home, "aliases"), write(
        home, "alias/.qmail-default", f"# |fastforward /x.cdb\n| fastforward -d {home}/aliases.cdb\n"))),
    "a mode": ("queue/todo has mode 777", lambda home: (home / "queue/todo").chmod(0o777)),
    "a missing directory": ("queue/intd is missing", lambda home: (home / "queue/intd").rmdir()),
    "a trigger that is none": ("trigger is no fifo", lambda home: (
        (home / "queue/lock/trigger").unlink(), write(home, "queue/lock/trigger", "", 0o622))),
    "no bit": ("run is not executable", lambda home: (home / "service/send/run").chmod(0o644)),
    "a group": ("setuidgid qmail: qmail is a group, not a user", lambda home: service(
        home, "send/log", "exec setuidgid qmail multilog t x\n")),
    "nobody of that name": ("setuidgid qmailz: qmailz is no user", lambda home: service(
        home, "send/log", "exec setuidgid qmailz multilog t x\n")),
    "an unknown id": ("id -u qmailz: qmailz is no user", lambda home: service(
        home, "x", "QUID=`id -u qmailz`\nexec x $QUID\n")),
    "a missing hyphen": ("lacks a hyphen", lambda home: service(
        home, "x", "if [ ! f /var/qmail/control/rcpthosts ]; then exit 1; fi\n")),
    "su": ("su needs a user with a working shell", lambda home: service(home, "x", "exec su x -c multilog\n")),
    "little memory": ("softlimit -m 2000000 is too little", lambda home: service(
        home, "x", "exec softlimit -m 2000000 \\\n  tcpserver 0 1 true\n")),
    "a word for a number": ("tcpserver -u qmaild is read as 0", lambda home: smtpd(home, "-u qmaild")),
    "missing rules": ("is not there: every connection is dropped", lambda home: smtpd(home, f"-x {home}/none.cdb")),
    "dead rules": ("with -H none is known", lambda home: smtpd(home, "-H", b"=www.example.com:allow\n:deny\n")),
    "rules that trust": ("trusts host names", lambda home: smtpd(home, "", b"=www.example.com:allow\n:deny\n")),
    "old rules": ("tcp.cdb is missing, or older", lambda home: (smtpd(home, "", b":allow\n"), write(home, "tcp"))),
    "nobody at the port": ("nobody answers on 127.0.0.1 port", lambda home: smtpd(home, "", up=free_port())),
    "a torn queue": ("things are wrong in the queue, such as: bounce/9 has no info", lambda home: write(
        home, "queue/bounce/9", "x", 0o600)),
    "a checker without root": ("checkpassword is not started as root", lambda home: service(
        home, "pop3", "exec tcpserver -u 1003 0 110 qmail-popup h checkpassword qmail-pop3d Maildir\n")),
    "a checker that gave root up": ("checkpwfile is not started as root", lambda home: service(
        home, "pop3", "exec setuidgid qmaild tcpserver 0 110 qmail-popup h /x/checkpwfile qmail-pop3d Maildir\n")),
    "passwords for relays": ("smtpcredentials is open", lambda home: write(home, "control/smtpcredentials", "", 0o640)),
    "a limit that is none": ("`joe:many`, which sets no limit", lambda home: write(
        home, "control/userlimits", "joe:1:2\njoe:many\n")),
    "open passwords": ("users/passwords is open", lambda home: write(home, "users/passwords", "", 0o640)),
    "no qmail-send": ("qmail-send does not run", lambda home: (home / "service/send/down").unlink()),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_said_with_what_to_do(whole: Path, program: Run, dns: NameServer, case: str) -> None:
    expected, break_it = BROKEN[case]
    break_it(whole)
    done = examine(program, whole, dns)
    assert (done.returncode, done.stderr) == (1, b"")
    lines = [line for line in done.stdout.decode().splitlines() if "kernel" not in line and "Linux has" not in line]
    assert [line for line in lines[::2] if expected in line], lines
    assert all(line.startswith("    ") and line.strip() for line in lines[1::2])
    assert len(lines) <= 4, "nothing else is wrong"


@needs_root
def test_a_setuid_program_and_a_wrong_owner_are_named(whole: Path, program: Run, dns: NameServer) -> None:
    os.chown(whole / "queue/bounce", 0, -1)
    target = (whole / "bin").readlink()
    (whole / "bin").unlink()
    (whole / "bin").mkdir()
    for path in target.iterdir():
        (whole / "bin" / path.name).symlink_to(path)
    write(whole, "bin/vchkpw", "x", 0o4755)
    (whole / "bin/qmail-inject").unlink()
    text = examine(program, whole, dns).stdout
    assert b"queue/bounce belongs to uid 0\n    chown qmails" in text
    assert b"bin/vchkpw is setuid" in text
    assert b"1 programs are missing in bin/, such as qmail-inject" in text


def test_another_server_at_our_port_is_named(whole: Path, program: Run, dns: NameServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            connection.sendall(b"220 other sendmail\r\n")
            connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        smtpd(whole, "", up=server.getsockname()[1])
        text = examine(program, whole, dns).stdout
        thread.join(10)
    assert b"is not our qmail-smtpd: 220 other sendmail" in text


def test_a_sending_side_without_an_accepting_one_is_named(whole: Path, program: Run, dns: NameServer) -> None:
    with ExitStack() as stack:
        mutex = stack.enter_context(open(whole / "queue/lock/sendmutex", "r+b"))
        fcntl.flock(mutex, fcntl.LOCK_EX)
        assert b"qmail-queued does not run" in examine(program, whole, dns).stdout


def test_a_port_without_a_checker_of_recipients_is_named(whole: Path, program: Run, dns: NameServer) -> None:
    with Start(whole.parent) as start:
        port = start(program=[str(whole / "bin/qmail-smtpd")], env={"QMAIL_HOME": str(whole)}).port
        smtpd(whole, "", up=port)
        assert b"qmail-rcptd does not run" in examine(program, whole, dns).stdout
        with open(whole / "qp/lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert b"qmail-rcptd" not in examine(program, whole, dns).stdout
            (whole / "control/rcptcheck").write_text("true\n")
            (whole / "control/callforward").write_text("behind.example\n")
            assert b"qmail-verifyd does not run" in examine(program, whole, dns).stdout
            assert b"qmail-checkd does not run" in examine(program, whole, dns).stdout


def test_submission_without_somebody_who_lets_in_is_named_and_tls_that_comes_first_is_no_fault(
    whole: Path, program: Run, dns: NameServer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = f"SMTPAUTH='!'; SMTPS=1; export SMTPAUTH SMTPS\nexec tcpserver 127.0.0.1 {silent.getsockname()[1]} \\\n"
        service(whole, "smtps", words + f"{whole}/bin/qmail-smtpd\n")
        text = examine(program, whole, dns).stdout
        assert b"qmail-authd does not run" in text and b"nobody answers" not in text
        (whole / "control/logins").write_text("checker\n")
        with open(whole / "qp/login.lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            text = examine(program, whole, dns).stdout
            assert b"qmail-authd" not in text and b"qmail-checkpwd does not run" in text


def test_a_name_below_localhost_is_not_looked_up(whole: Path, program: Run, dns: NameServer) -> None:
    write(whole, "control/me", "mail.localhost\n")
    assert examine(program, whole, dns).returncode == 0


def test_a_silent_name_server_is_a_finding(whole: Path, program: Run) -> None:
    with NameServer({}, codes={ME: 2}) as server:
        assert b"no name server answers for mail.here.example" in examine(program, whole, server).stdout


def test_a_home_that_is_none_is_no_finding(tmp_path: Path, program: Run) -> None:
    assert program("qmail-doctor", env={"QMAIL_HOME": str(tmp_path)}).returncode == 111
    assert program("qmail-doctor", "-x").returncode == 100
