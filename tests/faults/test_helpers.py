"""Faults of what stands around the queue: tcpserver, multilog, supervise, QMTP, QMQP and POP3."""

from __future__ import annotations

import os
import poplib
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, Run, wait_until
from keeping import Keeper
from programs.test_pop3_programs import UID, names, pop3d, put, served
from qmail.formats.netstring import netstring
from servicing import Place, has, text_of
from serving import PATIENCE, Start, compile_rules


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with Start(tmp_path) as start:
        yield start


# ---- tcpserver and its rules


def test_ip_options_of_a_client_are_dropped_unless_they_are_wanted(start: Start) -> None:
    show = "import socket; print(socket.socket(fileno=0).getsockopt(0, socket.IP_OPTIONS, 40).hex())"
    record_route = bytes([7, 11, 4, *bytes(8), 0])
    for options, kept in (([], False), (["-o"], True)):
        server = start(*options, program=["/usr/bin/python3", "-c", show])
        with socket.socket() as client:
            client.settimeout(PATIENCE)
            client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, record_route)
            client.connect(("127.0.0.1", server.port))
            assert bool(client.makefile("rb").read().strip()) == kept


@pytest.mark.parametrize("stdin", ["<&-", "</dev/null", "<&- 2>&-", "</dev/full"])
def test_whatever_its_own_standard_input_is_a_server_serves(tmp_path: Path, stdin: str) -> None:
    show = 'read x; echo got $x; ls /proc/self/fd | tr "\\n" " "'
    line = f"exec {BIN}/tcpserver -1HRl0 127.0.0.1 0 sh -c '{show}' {stdin}"
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, cwd=tmp_path) as server:
        try:
            assert server.stdout
            port = int(server.stdout.readline())
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                    client.sendall(b"hello\n")
                    got, opened = client.makefile("rb").read().split(b"\n")
                    assert got == b"got hello"
                    assert opened.split()[:3] == [b"0", b"1", b"2"]
        finally:
            server.kill()


def test_rules_that_are_exchanged_all_the_time_are_always_the_old_or_the_new_ones(start: Start, tmp_path: Path) -> None:
    server = start("-v", "-c", "60", rules=':allow,WORD="0"', program=["sh", "-c", "echo $WORD"])
    over = threading.Event()

    def exchange() -> None:
        number = 0
        while not over.is_set():
            number += 1
            compile_rules(
                tmp_path, f':allow,WORD="{number}"\n' + "".join(f"10.0.{i}.:deny\n" for i in range(number % 50))
            )

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        seen = [int(server.talk()) for _ in range(60)]
    finally:
        over.set()
        thread.join()
    assert seen == sorted(seen)
    assert "warning" not in server.log.read_text()


def test_every_order_of_lines_makes_rules_that_decide_alike(program: Run) -> None:
    lines = ["1.2.3.4:deny", "1.2.3.:allow", "1.2.:deny", "=.org:deny", ":allow"]
    clients = [{"TCPREMOTEIP": ip, "TCPREMOTEHOST": "a.org"} for ip in ("1.2.3.4", "1.2.3.5", "1.2.9.9", "9.9.9.9")]
    seen = set()
    for order in (lines, lines[::-1], lines[2:] + lines[:2]):
        assert program("tcprules", "r.cdb", "r.tmp", stdin="\n".join(order).encode()).returncode == 0
        seen.add(b"".join(program("tcprulescheck", "r.cdb", env=client).stdout for client in clients))
    assert len(seen) == 1


def test_who_is_no_proxy_of_ours_cannot_say_who_is_calling(home: Path, tmp_path: Path, program: Run) -> None:
    (home / "control/me").write_text("here.example\n")
    (home / "control/rcpthosts").write_text("here.example\n")
    keeper = Keeper(tmp_path)
    env = {"QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), "TCPREMOTEIP": "192.0.2.66"}
    talk = (
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\nXCLIENT ADDR=127.0.0.1 NAME=localhost\r\nXFORWARD ADDR=127.0.0.1\r\n"
        b"MAIL FROM:<a@b>\r\nRCPT TO:<x@far.example>\r\nRCPT TO:<x@here.example>\r\nDATA\r\n.\r\nQUIT\r\n"
    )
    done = program("qmail-smtpd", stdin=talk, env=env)
    codes = [line[:3] for line in done.stdout.split(b"\r\n")]
    assert codes[:-1] == [b"220", b"502", b"502", b"502", b"250", b"553", b"250", b"354", b"250", b"221"]
    assert keeper.kept[0][0].startswith(b"Received: from unknown (192.0.2.66)\n")


# ---- multilog and supervise


def test_a_log_of_s4096_and_n2_keeps_its_last_lines_in_two_files(tmp_path: Path) -> None:
    lines = [b"%05d %b\n" % (number, b"x" * 80) for number in range(2000)]
    subprocess.run(
        [BIN / "multilog", "s4096", "n2", "./d"], cwd=tmp_path, input=b"".join(lines), check=True, timeout=30
    )
    logs = [*sorted((tmp_path / "d").glob("@*")), tmp_path / "d/current"]
    assert len(logs) == 2
    assert all(path.stat().st_size <= 4096 for path in logs)
    kept = b"".join(path.read_bytes() for path in logs)
    assert kept == b"".join(lines)[-len(kept) :]
    assert len(kept) > 2000


def test_a_log_whose_multilog_was_killed_is_kept_as_an_unfinished_one(tmp_path: Path) -> None:
    with subprocess.Popen([BIN / "multilog", "./d"], cwd=tmp_path, stdin=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin
        process.stdin.write(b"one\n")
        wait_until(has(tmp_path / "d/current", "one\n"))
        process.kill()
    subprocess.run([BIN / "multilog", "./d"], cwd=tmp_path, input=b"two\n", check=True, timeout=30)
    (unfinished,) = (tmp_path / "d").glob("@*.u")
    assert (unfinished.read_text(), text_of(tmp_path / "d/current")) == ("one\n", "two\n")


def test_a_missing_fifo_of_supervise_is_said_and_the_service_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path)
    try:
        place.service("a")
        supervise = place.supervise("a")
        place.shows("a", "up (pid")
        pid = place.pid("a")
        for name in ("control", "ok"):
            (tmp_path / "a/supervise" / name).rename(tmp_path / name)
            done = place.run("svc", "-d", "a")
            assert done.returncode == 0
            if name == "control":
                assert done.stderr == b"svc: warning: unable to control a: file does not exist\n"
            (tmp_path / name).rename(tmp_path / "a/supervise" / name)
        assert supervise.poll() is None
        assert place.run("svstat", "a").stdout
        os.kill(pid, 0)
        place.svc("-dx", "a")
        assert supervise.wait(10) == 0
    finally:
        place.end()


def test_a_log_that_dies_at_once_holds_lines_back_until_it_lives(tmp_path: Path) -> None:
    place = Place(tmp_path)
    try:
        place.service("scan/a", "#!/bin/sh\nfor i in 1 2 3; do echo line $i; done\nexec sleep 1000\n")
        log = place.service("scan/a/log", "#!/bin/sh\nexit 1\n")
        place.start("svscan", "scan")
        place.shows("scan/a", "up (pid")
        (log / "new").write_text(f"#!/bin/sh\nexec {BIN}/multilog ../../../main\n")
        (log / "new").chmod(0o755)
        (log / "new").rename(log / "run")
        wait_until(has(tmp_path / "main/current", "line 1\nline 2\nline 3\n"))
        place.svc("-dx", "scan/a", "scan/a/log")
    finally:
        place.end()


# ---- QMTP, QMQP


@pytest.mark.parametrize(
    "length", [b"999999999999:", b"-1:", b"007:", b"00000000000000000000000003:", b"+3:", b"0x3:", b":"]
)
@pytest.mark.parametrize("name", ["qmail-qmtpd", "qmail-qmqpd"])
def test_a_length_that_is_none_ends_the_session_and_nothing_is_queued(
    home: Path, tmp_path: Path, program: Run, name: str, length: bytes
) -> None:
    keeper = Keeper(tmp_path)
    env = {"QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), "RELAYCLIENT": ""}
    rest = b"\nbody\n," + netstring(b"s@a") + netstring(netstring(b"r@b"))
    done = program(name, stdin=length + rest, env=env)
    assert done.stdout == b""
    assert done.returncode in (100, 111)
    assert not any(envelope for _, envelope in keeper.kept)


# ---- POP3


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    place = tmp_path / "user" / "Maildir"
    for name in ("new", "cur", "tmp"):
        (place / name).mkdir(parents=True)
    for number in range(3):
        put(place, f"new/{number}.m", b"Subject: %d\n\n.\n.dot\n" % number, 400 - number)
    give(place)
    return place


def give(place: Path) -> None:
    if os.geteuid() == 0:
        for path in (place.parent, place, *place.rglob("*")):
            os.chown(path, UID, UID)


def test_names_of_messages_stay_whatever_else_happens_to_them(maildir: Path) -> None:
    def listed() -> list[bytes]:
        return re.findall(
            rb"^\d+ (\S+)\r$", pop3d(maildir, b"UIDL\r\nQUIT\r\n")[1].partition(b"+OK \r\n+OK \r\n")[2], re.M
        )

    assert listed() == [b"0.m", b"1.m", b"2.m"]
    assert names(maildir) == [f"cur/{number}.m:2," for number in range(3)]
    (maildir / "cur/1.m:2,").rename(maildir / "cur/1.m:2,RS")
    put(maildir, "new/9.m", b"x\n", 1)
    give(maildir)
    assert listed() == [b"0.m", b"1.m", b"2.m", b"9.m"]
    assert pop3d(maildir, b"DELE 1\r\nDELE 4\r\nQUIT\r\n")[0] == 0
    assert listed() == [b"1.m", b"2.m"]


def test_deletions_that_come_with_quit_in_one_packet_are_made(maildir: Path) -> None:
    with served(BIN / "qmail-pop3d", "Maildir", cwd=maildir.parent, drop=True) as port:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b"DELE 1\r\nRETR 2\r\nDELE 3\r\nQUIT\r\nDELE 2\r\n")
            answer = client.makefile("rb").read()
        assert answer == b"+OK \r\n+OK \r\n+OK \r\nSubject: 1\r\n\r\n..\r\n..dot\r\n\r\n.\r\n+OK \r\n+OK \r\n"
        wait_until(lambda: names(maildir) == ["cur/1.m:2,"])


def test_deletions_without_quit_are_not_made_however_the_client_goes(maildir: Path) -> None:
    before = names(maildir)
    with served(BIN / "qmail-pop3d", "Maildir", cwd=maildir.parent, drop=True) as port:
        for linger in (0, 1):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(b"DELE 1\r\nDELE 2\r\n")
                client.recv(1000)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", linger, 0))
        client = poplib.POP3("127.0.0.1", port, timeout=20)  # the one before has ended
        assert client.stat()[0] == 3
        client.close()
    assert names(maildir) == before


def test_the_top_of_a_message_of_a_hundred_megabytes_is_read_no_further(maildir: Path) -> None:
    with open(maildir / "new/8.large", "wb") as file:
        file.write(b"Subject: large\n\nfirst\nsecond\n")
        file.truncate(100_000_000)
    os.utime(maildir / "new/8.large", (10**9, 10**9))  # the oldest
    give(maildir)
    code, said, _ = pop3d(maildir, b"TOP 1 1\r\nTOP 1 0\r\nQUIT\r\n")
    assert code == 0
    assert said.endswith(
        b"+OK \r\nSubject: large\r\n\r\nfirst\r\n\r\n.\r\n+OK \r\nSubject: large\r\n\r\n\r\n.\r\n+OK \r\n"
    )


def test_no_two_stamps_for_apop_are_alike(tmp_path: Path) -> None:
    stamps = set()
    for _ in range(10):
        done = subprocess.run(
            [BIN / "qmail-popup", "h", "true"], input=b"", capture_output=True, cwd=tmp_path, timeout=60
        )
        stamps.add(re.fullmatch(rb"\+OK (<[^ <>]+@h>)\r\n", done.stdout)[1])  # type: ignore[index]
    assert len(stamps) == 10
