"""qmail-rspawn's workers: connections that are kept, and processes that come and go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import BIN, TOP
from nameserver import NameServer
from scripted import Peer, Step, taking
from sender import Sender

K = b"K127.0.0.1 accepted message.\nRemote host said: 250 queued\n"
HELLO = b"250-mx\r\n250 PIPELINING\r\n"
ENVELOPE: list[Step] = ["line", "line", "line", b"250 ok\r\n250 ok\r\n354 go\r\n", "data", b"250 queued\r\n"]
START: list[Step] = [b"220 mx\r\n", "line", HELLO]


@pytest.fixture
def sender(home: Path) -> Iterator[Sender]:
    (home / "control/me").write_text("client.example\n")
    (home / "control/timeoutremote").write_text("10\n")
    sender = Sender(home)
    yield sender
    if sender.process.poll() is None:
        assert sender.end() == 0


def route(sender: Sender, port: int) -> None:
    (sender.home / "control/smtproutes").write_text(f":[127.0.0.1]:{port}\n")


def deliver(sender: Sender, recipient: bytes = b"r@h") -> bytes:
    sender.order((1, sender.message(1), b"s@a", recipient))
    return sender.reports(1)[1]


def children(pid: int) -> list[int]:
    """The spawner's workers."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(path.name))
    return found


def eventually(what: Callable[[], object]) -> None:
    limit = time.monotonic() + 15
    while not what():
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.02)


def title(pid: int) -> bytes:
    """What ps shows of a process; nothing of one that has just gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_one_connection_takes_one_message_after_the_other(sender: Sender) -> None:
    with Peer([*START, *ENVELOPE, *ENVELOPE, *ENVELOPE]) as peer:
        route(sender, peer.port)
        assert [deliver(sender, b"r@one"), deliver(sender, b"r@two"), deliver(sender, b"r@one")] == [K] * 3
        assert len(children(sender.process.pid)) == 1
        assert sender.end() == 0
    assert len(peer.got) == 1
    assert peer.got[0].count(b"MAIL FROM:<s@a>\r\nRCPT TO:<r@") == 3
    assert peer.got[0].startswith(b"EHLO client.example\r\n")
    assert peer.got[0].endswith(b".\r\nQUIT\r\n")


@pytest.mark.parametrize(
    "ending",
    [
        ["close"],
        ["reset"],
        [b"421 idle too long\r\n", "close"],
        ["line", "line", "line", "close"],
        ["line", "line", "line", b"421 enough\r\n", "close"],
        ["line", "line", "line", b"250 ok\r\n452 too many recipients\r\n503 no\r\n"],
        ["line", "line", "line", b"250 ok\r\n250 ok\r\n451 later\r\n"],
        ["line", "line", "line", b"nonsense and no end"],
    ],
    ids=lambda ending: " ".join(step if isinstance(step, str) else step.decode().split("\r")[0] for step in ending),
)
def test_what_fails_on_a_kept_connection_is_tried_on_a_fresh_one(sender: Sender, ending: list[Step]) -> None:
    (sender.home / "control/timeoutremote").write_text("1\n")
    with Peer([*START, *ENVELOPE, *ending], [*START, *ENVELOPE]) as peer:
        route(sender, peer.port)
        assert [deliver(sender), deliver(sender)] == [K] * 2
        assert sender.end() == 0
    assert len(peer.got) == 2


def test_fault_082_nothing_is_sent_twice_after_its_last_dot(sender: Sender) -> None:
    with Peer([*START, *ENVELOPE, *ENVELOPE[:-1], "close"], [*START, *ENVELOPE]) as peer:
        route(sender, peer.port)
        assert deliver(sender) == K
        assert deliver(sender) == b"ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n"
        assert sender.end() == 0
    assert len(peer.got) == 1


def test_a_refused_recipient_on_a_kept_connection_is_refused_once(sender: Sender) -> None:
    refusal: list[Step] = ["line", "line", "line", b"250 ok\r\n550 who\r\n554 no valid recipients\r\n"]
    with Peer([*START, *ENVELOPE, *refusal], [*START, *ENVELOPE]) as peer:
        route(sender, peer.port)
        assert deliver(sender) == K
        assert deliver(sender) == (
            b"D127.0.0.1 does not like recipient.\nRemote host said: 550 who\nGiving up on 127.0.0.1.\n"
        )
        assert sender.end() == 0
    assert len(peer.got) == 1


def test_an_idle_connection_is_closed_politely_and_its_worker_let_go(sender: Sender) -> None:
    with Peer([*START, *ENVELOPE]) as peer:
        route(sender, peer.port)
        assert deliver(sender) == K
        eventually(lambda: peer.got[0].endswith(b"QUIT\r\n"))
        eventually(lambda: not children(sender.process.pid))


def test_a_busy_worker_shows_what_it_does(sender: Sender) -> None:
    with Peer([*START, "line", "line", "line", "line"]) as peer:
        route(sender, peer.port)
        sender.order((1, sender.message(1), b"s@a", b"r@host.example"))
        eventually(
            lambda: [title(pid) for pid in children(sender.process.pid)]
            == [b"qmail-remote host.example s@a r@host.example"]
        )
        (pid,) = children(sender.process.pid)
        assert Path(f"/proc/{pid}/comm").read_text() == "qmail-remote\n"
        os.kill(pid, signal.SIGKILL)
        assert sender.reports(1) == {1: b"Zqmail-remote crashed.\n"}


def test_deliveries_to_slow_servers_do_not_hold_up_others(sender: Sender) -> None:
    with Peer(["line"]) as slow, Peer(taking()) as quick:
        (sender.home / "control/smtproutes").write_text(
            f"slow:[127.0.0.1]:{slow.port}\nquick:[127.0.0.1]:{quick.port}\n"
        )
        name = sender.message(1)
        sender.order(*((i, name, b"s@a", b"r@slow") for i in range(30)), (31, name, b"s@a", b"r@quick"))
        assert sender.reports(1) == {31: K}
        for pid in children(sender.process.pid):
            os.kill(pid, signal.SIGKILL)
        assert {text[:1] for text in sender.reports(30).values()} == {b"Z"}
        assert sender.end() == 0


def test_a_changed_control_file_counts_for_the_next_message(sender: Sender) -> None:
    with Peer([*START, *(ENVELOPE * 500)]) as first, Peer([*START, *ENVELOPE]) as second:
        route(sender, first.port)
        assert deliver(sender) == K
        route(sender, second.port)
        (sender.home / "control/helohost").write_text("other.example\n")

        def arrived() -> bool:
            assert deliver(sender) == K
            return bool(second.got)

        eventually(arrived)
        assert sender.end() == 0
    assert second.got[0].startswith(b"EHLO other.example\r\n")


def test_a_program_in_qmail_remotes_place_is_run_instead(sender: Sender, home: Path) -> None:
    with Peer([*START, *(ENVELOPE * 500)]) as peer:
        route(sender, peer.port)
        assert deliver(sender) == K
        (home / "bin").unlink()
        (home / "bin").mkdir()
        program = home / "bin/qmail-remote"
        program.write_text("#!/bin/sh\nprintf 'r\\0Kreplaced\\n\\0'\n")
        program.chmod(0o755)
        eventually(lambda: deliver(sender) == b"Kreplaced\n")
        assert sender.end() == 0


def test_workers_finish_when_the_spawner_is_killed(sender: Sender) -> None:
    with Peer([*START, "line", "line", "line", b"250 ok\r\n250 ok\r\n354 go\r\n", "data", b"250 queued\r\n"]) as peer:
        route(sender, peer.port)
        assert deliver(sender) == K
        (pid,) = children(sender.process.pid)
        sender.process.kill()
        sender.process.wait()
        eventually(lambda: not title(pid))
    assert peer.got[0].endswith(b"QUIT\r\n")


def test_fault_011_a_worker_reads_a_large_message_in_pieces(sender: Sender) -> None:
    message = b"".join(b".%d\r" % number + b"x" * (number % 3000) + b"\n" for number in range(1000))
    with Peer([*START, *ENVELOPE]) as peer:
        route(sender, peer.port)
        sender.order((1, sender.message(1, message), b"s@a", b"r@h"))
        assert sender.reports(1) == {1: K}
        assert sender.end() == 0
    sent = peer.got[0].partition(b"DATA\r\n")[2].removesuffix(b".\r\nQUIT\r\n")
    lines = [line.removeprefix(b".") for line in sent.split(b"\r\n")]
    assert b"\n".join(lines) == message.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def test_a_real_sink_takes_many_messages_at_once(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen(["/usr/sbin/smtp-sink", *user, f"127.0.0.1:{port}", "1000"])
    try:
        eventually(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        route(sender, port)
        name = sender.message(1)
        for _ in range(5):
            sender.order(*((i, name, b"s@a", b"r@h") for i in range(100)))
            assert {text[:1]: text for text in sender.reports(100).values()} == {
                b"K": K.replace(b"queued", b"2.0.0 Ok")
            }
    finally:
        sink.terminate()
        sink.wait()


def test_the_first_name_starts_qmail_dns_and_the_end_ends_it(home: Path) -> None:
    (home / "control/me").write_text("client.example\n")
    zone = {("relay.example", "AAAA"): ["::1"], ("relay.example", "A"): ["127.0.0.1"]}
    with NameServer(zone) as server, Peer([*START, *(ENVELOPE * 3)]) as peer:
        sender = Sender(home, **server.environ)
        (home / "control/smtproutes").write_text(f"h:relay.example:{peer.port}\nnone:none.example\n")
        assert not services(sender)
        assert deliver(sender) == K
        (service,) = services(sender)
        assert deliver(sender, b"r@none") == b"DSorry, I couldn't find any host named none.example. (#5.1.2)\n"
        # One that dies is replaced at the next question.
        os.kill(service, signal.SIGKILL)
        eventually(lambda: not services(sender))
        assert deliver(sender, b"r@none").startswith(b"DSorry, I couldn't find any host")
        eventually(lambda: services(sender))
        (service,) = services(sender)
        assert sender.end() == 0
        eventually(lambda: not Path(f"/proc/{service}/cmdline").exists())


def services(sender: Sender) -> list[int]:
    """The qmail-dns that the spawner has started."""
    return [pid for pid in children(sender.process.pid) if b"qmail-dns" in title(pid)]


def test_a_qmail_dns_that_runs_already_is_used(home: Path) -> None:
    (home / "control/me").write_text("client.example\n")
    with NameServer({("relay.example", "A"): ["127.0.0.1"]}) as server, Peer([*START, *ENVELOPE]) as peer:
        environ = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin", **server.environ}
        service = subprocess.Popen([str(BIN / "qmail-dns")], env=environ)
        eventually((home / "qr/dns").is_socket)
        sender = Sender(home)
        (home / "control/smtproutes").write_text(f":relay.example:{peer.port}\n")
        assert deliver(sender) == K
        assert not services(sender)
        assert sender.end() == 0
        service.terminate()
        service.wait()


def test_what_waits_behind_a_delivery_that_stalls_is_given_to_others(sender: Sender) -> None:
    stalling = [*START, *(ENVELOPE * 40), "line", "line", "line", "line"]
    with Peer([*START, *(ENVELOPE * 40)], stalling, [*START, *(ENVELOPE * 1000)]) as peer:
        route(sender, peer.port)
        assert deliver(sender) == K
        name = sender.message(1)
        found: dict[int, bytes] = {}
        # A burst at a time, so that a few workers get most of it; two of their connections go dumb.
        for first in range(0, 100, 20):
            sender.order(*((first + i, name, b"s@a", b"r@h") for i in range(20)))
            found.update(sender.reports(20))
        assert set(found.values()) == {K}
        assert sorted(found) == list(range(100))
        assert sender.end() == 0


def test_workers_that_were_given_too_much_and_had_begun_nothing_are_let_go_like_others(sender: Sender) -> None:
    with Peer(*[[*START, *(ENVELOPE * 1000)]] * 40) as peer:
        route(sender, peer.port)
        name = sender.message(1)
        for _burst in range(5):
            sender.order(*((i, name, b"s@a", b"r@h") for i in range(20)))
            assert set(dict(sender.reports(20)).values()) == {K}
        workers = children(sender.process.pid)
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        sender.order(*((i, name, b"s@a", b"r@h") for i in range(12)))
        time.sleep(0.1)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        assert set(dict(sender.reports(12)).values()) == {K}
        eventually(lambda: not children(sender.process.pid))


NOBODY_TAKES_IT = """
import os, resource, sys
from qmail.host.loop import Loop
from qmail.services.remote_delivery import Workers
from qmail.stores.deliveries import Delivery
from qmail.stores.home import Home
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))  # so that a test that fails has an end
workers = Workers(Home(os.fsencode(sys.argv[1])), {}, Loop(), print)
print(workers.start(Delivery(1, b"1/1", b"s@a", b"r@h")))  # its message was never opened: it cannot be passed
begun = 0
try:
    while os.wait():
        begun += 1
except ChildProcessError:
    print(begun)
"""


def test_what_no_worker_can_take_is_left_to_a_program_and_starts_no_more_than_one(home: Path) -> None:
    (home / "control/me").write_text("client.example\n")
    environ = {"PYTHONPATH": str(TOP / "src"), "PATH": "/usr/bin:/bin"}
    argv = [sys.executable, "-c", NOBODY_TAKES_IT, str(home)]
    process = subprocess.run(argv, env=environ, capture_output=True, timeout=20, check=True)
    assert process.stdout.split() == [b"False", b"1"]


def test_a_worker_that_dies_takes_only_its_own_delivery_with_it(sender: Sender) -> None:
    with Peer([*START, *ENVELOPE, *ENVELOPE, "line", "line", "line", "line"], [*START, *(ENVELOPE * 1000)]) as peer:
        route(sender, peer.port)
        assert [deliver(sender), deliver(sender)] == [K, K]
        name = sender.message(1)
        (pid,) = children(sender.process.pid)
        sender.order(*((i, name, b"s@a", b"r@h") for i in range(10)))
        eventually(lambda: peer.got[0].count(b"MAIL FROM") == 3)
        os.kill(pid, signal.SIGKILL)
        found = sender.reports(10)
        assert sorted(found.values()) == [K] * 9 + [b"Zqmail-remote crashed.\n"]
        assert sender.end() == 0
