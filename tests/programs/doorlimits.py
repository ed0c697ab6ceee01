"""What qmail-tlsd, qmail-authd and qmail-checkpwd, at whose sockets others ask, answer to more than they take."""

from __future__ import annotations

import os
import pwd
import re
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from conftest import BIN, TOP, wait_until
from qmail.protocols import checkpw, login
from qmail.stores import tlsdoor
from securing import Tls, certificate, trusting_nobody

ME = "mx.example.org"


def peak(pid: int) -> float:
    """The most MiB that a process has needed."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


@contextmanager
def many_descriptors() -> Iterator[None]:
    """As many as there may be, for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def handed(home: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's end of a TCP connection, and the door where the other end was passed to qmail-tlsd."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as door:
        door.settimeout(30)
        client = socket.create_connection(listener.getsockname(), 30)
        taken, _ = listener.accept()
        door.connect(str(home / "qt/socket"))
        tlsdoor.hand_over(door.fileno(), taken.fileno(), 30)
        taken.close()
        with client:
            yield client, door


def connections(home: Path, limit: int) -> None:
    """Programs that ask: the last one is served when the others are gone."""
    certificate(home / "control/servercert.pem", ME)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with Tls(home) as running, many_descriptors():
        with ExitStack() as stack:
            for _ in range(min(limit, (hard - 32) // 2)):
                asking = stack.enter_context(socket.socket(socket.AF_UNIX))
                asking.connect(str(home / "qt/socket"))
            client, door = stack.enter_context(handed(home))
            running.says("too many connections")
            door.settimeout(0.2)
            try:
                assert not door.recv(1), "it is taken, or refused"
            except TimeoutError:
                pass
            door.settimeout(30)
            last = client.dup(), door.dup()
            # The last of them stays.
        with last[0], last[1]:
            stream = trusting_nobody().wrap_socket(last[0], server_hostname=ME)
            assert last[1].recv(100).startswith(b"yes ")
            stream.close()


def held(home: Path, limit: int) -> None:
    """A program that does not read: what its client sends stays with the client."""
    certificate(home / "control/servercert.pem", ME)
    with (
        Tls(home) as running,
        handed(home) as (raw, _door),
        trusting_nobody().wrap_socket(raw, server_hostname=ME) as client,
    ):
        (worker,) = running.children()
        before = peak(worker)
        client.settimeout(0.5)
        try:
            for _ in range(64 * 1024 * 1024 // 16384):
                client.sendall(b"x" * 16384)
            raise AssertionError("all of it was taken")
        except TimeoutError:
            pass
        assert peak(worker) - before < 1 + 8 * limit / 2**20
        assert peak(worker) < _memory("qmail-tlsd")


def names(home: Path, limit: int) -> None:
    """So many files, and one more."""
    place = home / "control/tls"
    place.mkdir(exist_ok=True)
    for number in range(limit + 1):
        (place / f"{number}.example.pem").touch()
    done = subprocess.run([BIN / "qmail-tlsd"], env={"QMAIL_HOME": str(home)}, capture_output=True, timeout=60)
    assert done.returncode == 111 and b"more than %d certificates in " % limit in done.stderr
    (place / "0.example.pem").unlink()
    done = subprocess.run([BIN / "qmail-tlsd"], env={"QMAIL_HOME": str(home)}, capture_output=True, timeout=60)
    assert done.returncode == 111 and b"unable to use " in done.stderr, "they are looked at"


@contextmanager
def authd(home: Path, more: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A qmail-authd that knows joe, and needs so many MiB more than others."""
    (home / "qp").mkdir(exist_ok=True)
    env = {"QMAIL_HOME": str(home)}
    command = [BIN / "qmail-password", "-a", "nobody", "joe"]
    subprocess.run(command, input=b"a secret\n", env=env, check=True, capture_output=True)
    with subprocess.Popen([BIN / "qmail-authd"], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            wait_until((home / "qp/login").is_socket)
            yield process
            assert peak(process.pid) < _memory("qmail-authd") + more
        finally:
            process.kill()


def attempt(stack: ExitStack, home: Path, packet: bytes = b"") -> socket.socket:
    """A client of it, which has said this."""
    asking = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    asking.settimeout(60)
    asking.connect(str(home / "qp/login"))
    if packet:
        asking.sendall(packet)
    return asking


def plain(password: bytes) -> bytes:
    return login.begin(b"192.0.2.1", b"PLAIN", b"\0joe\0" + password)


def clients(home: Path, limit: int) -> None:
    """So many logins at a time, and one more."""
    with authd(home), many_descriptors(), ExitStack() as stack:
        begun = [attempt(stack, home) for _ in range(limit)]
        assert attempt(stack, home).recv(10) == login.TROUBLE
        begun[0].close()
        # Its place is free as soon as its end has been seen.
        wait_until(lambda: _is_let_in(stack, home))


def _is_let_in(stack: ExitStack, home: Path) -> bool:
    try:
        return attempt(stack, home, plain(b"a secret")).recv(10) == login.DONE + b"joe"
    except ConnectionError:
        return False  # hung up on before it was heard


def waiting(home: Path, limit: int) -> None:
    """Wrong passwords from one address: some have to wait, and more than that are sent away."""
    with authd(home), ExitStack() as stack:
        for _ in range(3):
            assert attempt(stack, home, plain(b"wrong")).recv(10) == login.REFUSED
        # While one of these waits, seconds long, the others come.
        begun = [attempt(stack, home, plain(b"wrong")) for _ in range(limit)]
        assert attempt(stack, home, plain(b"wrong")).recv(10) == login.TROUBLE
        assert all(_is_silent(each) for each in begun[1:])


def _is_silent(asking: socket.socket) -> bool:
    asking.setblocking(False)
    try:
        return not asking.recv(10)
    except BlockingIOError:
        return True


def packet(home: Path, limit: int) -> None:
    """A packet that is too long ends the login."""
    with authd(home), ExitStack() as stack:
        whole = login.begin(b"192.0.2.1", b"NONE", b"x" * (limit - 18))
        assert len(whole) <= limit and attempt(stack, home, whole).recv(10) == login.MALFORMED
        assert attempt(stack, home, whole + b"x" * (limit + 1 - len(whole))).recv(10) == b""


def passwords(home: Path, limit: int) -> None:
    """A file that is too large lets nobody in, and says why."""
    with authd(home, 3 * limit >> 20) as process, ExitStack() as stack:
        with open(home / "users/passwords", "ab") as file:
            file.truncate(limit + 1)
        assert attempt(stack, home, plain(b"a secret")).recv(10) == login.TROUBLE
        assert process.stderr is not None
        assert b"users/passwords is larger than 64 MiB" in process.stderr.readline()


@contextmanager
def checkpwd(home: Path, script: str) -> Iterator[None]:
    """A qmail-checkpwd with this script for a checker."""
    checker = home.parent / "checker"
    checker.write_text("#!/bin/sh\n" + script)
    checker.chmod(0o755)
    env = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen([BIN / "qmail-checkpwd", checker, "true"], env=env, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until((home / "ql/checkpw").is_socket)
            yield
            assert peak(process.pid) < _memory("qmail-checkpwd")
        finally:
            process.kill()


def question(stack: ExitStack, home: Path, name: bytes, password: bytes) -> socket.socket:
    """One who asks it, as qmailp, which alone may."""
    asking = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    asking.settimeout(60)
    mine = os.geteuid()
    os.seteuid(mine or pwd.getpwnam("qmailp").pw_uid)
    try:
        asking.connect(str(home / "ql/checkpw"))
    finally:
        os.seteuid(mine)
    try:
        asking.sendall(checkpw.question(b"192.0.2.1", name, password))
    except BrokenPipeError:
        pass  # it was refused before it was heard
    return asking


def refusal(asking: socket.socket) -> bytes:
    """What is said to one too many, which is lost where the question came just before the door was shut."""
    try:
        return asking.recv(10)
    except ConnectionResetError:
        return checkpw.TROUBLE


def checkers(home: Path, limit: int) -> None:
    """More names at a time than there may be checkers, and more than may wait."""
    running, waiting = 20, 200
    assert limit in (running, waiting)
    place = home.parent
    (begun := place / "begun").mkdir()
    with (
        checkpwd(home, f": >{begun}/$$\nwhile [ ! -e {place}/gate ]; do sleep 0.1; done\nexit 1\n"),
        ExitStack() as stack,
    ):
        stack.callback((place / "gate").touch)  # however this ends, no checker stays
        asked = [question(stack, home, b"joe", b"x") for _ in range(running)]
        wait_until(lambda: len(list(begun.iterdir())) == running)
        asked += [question(stack, home, b"joe", b"x") for _ in range(waiting)]
        assert refusal(question(stack, home, b"joe", b"x")) == checkpw.TROUBLE
        assert len(list(begun.iterdir())) == running
        (place / "gate").touch()
        assert {each.recv(10) for each in asked} == {checkpw.NO}


def told(home: Path, limit: int) -> None:
    """A name and a password that are as long as a checker may be told with its time stamp, and one byte longer."""
    with checkpwd(home, "exit 0\n"), ExitStack() as stack:
        room = limit - len(b"\0\0\0") - len(str(int(time.time())))
        name = b"n" * (room // 2)
        for more, verdict in ((0, checkpw.YES), (1, checkpw.NO)):
            assert question(stack, home, name, b"p" * (room - len(name) + more)).recv(10) == verdict


def _memory(program: str) -> int:
    import sys

    sys.path[:0] = [str(TOP / "setup")] if str(TOP / "setup") not in sys.path else []
    import limits

    return limits.MEMORY[program]


CHECKPWD = {
    "qmail_checkpwd:MOST_RUNNING": checkers,
    "qmail_checkpwd:MOST_WAITING": checkers,
    "qmail_checkpwd:LONGEST": told,
}
TLSD = {"tlsservice:MOST": connections, "tlsrelay:HELD": held, "certificates:MOST": names}
AUTHD = {
    "qmail_authd:MOST_CLIENTS": clients,
    "qmail_authd:MOST_WAITING": waiting,
    "login:LONGEST": packet,
    "passwords:LARGEST": passwords,
}
