"""Warm qmail-smtpds behind tcpserver: who gets one, how they share, how they end, what they take."""

from __future__ import annotations

import os
import pwd
import random
import re
import resource
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from conftest import BIN, TOP, alive, start_queued, wait_until
from qmail.protocols import submit
from serving import Server, Start
from stand_ins.queued import Queued
from submitting import files

PATIENCE = 20.0
PID_LIMIT = 1 << 22
ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n"
MESSAGE = ENVELOPE + b"hello\r\n.\r\n"


@pytest.fixture
def place(home: Path) -> Path:
    """A home that takes mail for example.org."""
    (home / "control/me").write_text("mx.example.org\n")
    (home / "control/rcpthosts").write_text("example.org\n")
    return home


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with Start(tmp_path) as starting:
        yield starting


def serve(start: Start, home: Path, *options: str, rules: str = ":allow\n", **env: str) -> Server:
    """tcpserver before our qmail-smtpd, as qmaild where that is possible."""
    words = ["-v", *options]
    if os.geteuid() == 0:
        qmaild = pwd.getpwnam("qmaild")
        words += ["-u", str(qmaild.pw_uid), "-g", str(qmaild.pw_gid)]
    environ = {"QMAIL_HOME": str(home), **env}
    return start(*words, program=[str(home / "bin/qmail-smtpd")], rules=rules, env=environ)


class Client:
    """One connection."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self, *codes: int) -> list[bytes]:
        """The next replies, which must have these codes."""
        lines = [self.file.readline() for _ in codes]
        assert [line[:3] for line in lines] == [b"%d" % code for code in codes], lines
        return lines


def whole(server: Server, *codes: int) -> None:
    """One session with one message."""
    with Client(server) as client:
        client.say(MESSAGE + b"QUIT\r\n")
        client.hear(220, 250, 250, 354, *(codes or (250,)), 221)
        assert client.file.read() == b""


def workers(server: Server) -> list[int]:
    """The processes of a server that were forked and not exec'd."""
    text = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(word) for word in text.split()]


def ready(server: Server) -> list[int]:
    """The workers, when all of them are there under their own name."""

    def named() -> bool:
        names = [Path(f"/proc/{worker}/comm").read_text() for worker in workers(server)]
        return names == ["qmail-smtpd\n"] * len(os.sched_getaffinity(0))

    wait_until(named)
    return workers(server)


def numbers(server: Server) -> list[int]:
    return [int(word) for word in re.findall(r"^tcpserver: ok (\d+)", server.log.read_text(), re.MULTILINE)]


# ---- who gets one


def test_our_own_program_is_warm_and_carries_its_name(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place)
    whole(server)
    server.until(r"end \d+ status 0")
    assert numbers(server)[0] > PID_LIMIT
    assert len(workers(server)) == len(os.sched_getaffinity(0))
    for worker in workers(server):
        assert Path(f"/proc/{worker}/comm").read_text() == "qmail-smtpd\n"
        assert Path(f"/proc/{worker}/cmdline").read_bytes().rstrip(b"\0") == b"qmail-smtpd"
        listening = [os.readlink(link) for link in Path(f"/proc/{worker}/fd").iterdir()]
        assert sum(name.startswith("socket:") for name in listening) <= 2, "the listener is closed"


@pytest.mark.parametrize("rule", [':allow,QMAILQUEUE="/bin/true"\n', ':allow,SPFBEHAVIOR="3"\n', ':allow,PATH="/x"\n'])
def test_a_variable_that_we_do_not_know_gets_a_program(place: Path, queued: object, start: Start, rule: str) -> None:
    server = serve(start, place, rules=rule)
    with Client(server) as client:
        client.say(b"QUIT\r\n")
        client.hear(220, 221)
    server.until(r"end \d+ status 0")
    assert numbers(server)[0] < PID_LIMIT


def test_what_the_server_itself_was_given_changes_nothing(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place, SPFBEHAVIOR="3", RELAYCLIENT="")
    with Client(server) as client:
        client.say(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d.example>\r\nQUIT\r\n")
        client.hear(220, 250, 250, 221)
    server.until(r"end \d+ status 0")
    assert numbers(server)[0] > PID_LIMIT


def test_a_queue_program_for_all_is_run_for_all(place: Path, start: Start, tmp_path: Path) -> None:
    (tmp_path / "qq").write_text("#!/bin/sh\nexit 31\n")
    (tmp_path / "qq").chmod(0o755)
    server = serve(start, place, QMAILQUEUE=str(tmp_path / "qq"))
    whole(server, 554)
    server.until(r"end \d+ status 0")
    assert numbers(server)[0] < PID_LIMIT and not workers(server)


def test_a_replaced_program_is_run(place: Path, queued: object, start: Start) -> None:
    (place / "bin").unlink()
    (place / "bin").mkdir()
    for name in ("qmail-smtpd", "qmail-queue"):
        (place / "bin" / name).write_bytes((BIN / name).read_bytes())
        (place / "bin" / name).chmod(0o755)
    server = serve(start, place)
    whole(server)
    server.until(r"end \d+ status 0")
    assert numbers(server)[-1] > PID_LIMIT
    queue = place / "bin/qmail-queue"
    os.rename(queue, place / "bin/real")
    queue.write_text("#!/bin/sh\nexit 53\n")
    queue.chmod(0o755)
    whole(server, 451)
    assert numbers(server)[-1] < PID_LIMIT
    os.rename(place / "bin/real", queue)
    (place / "bin/qmail-smtpd").write_text("#!/bin/sh\nprintf '220 other\\r\\n'\n")
    with Client(server) as client:
        assert client.hear(220) == [b"220 other\r\n"]
    assert numbers(server)[-1] < PID_LIMIT


# ---- how they share


def test_fault_026_028_a_flood_of_commands_holds_nobody_up(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place)
    flood, count = b"NOOP\r\n" * 10_000, 10
    with Client(server) as rude, Client(server) as rude_too, Client(server) as polite:
        for client in (rude, rude_too):
            client.socket.settimeout(0.2)
            sent = 0
            try:
                for _ in range(count):
                    sent += client.socket.send(flood)
            except TimeoutError:
                pass  # it is not read from while it does not read
        begin = time.monotonic()
        polite.say(MESSAGE + b"QUIT\r\n")
        polite.hear(220, 250, 250, 354, 250, 221)
        assert time.monotonic() - begin < 5
        rude.socket.settimeout(PATIENCE)
        rude.hear(220, *[250] * 5_000)


def test_fault_035_a_client_that_does_not_read_takes_no_memory(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place)
    before = max(resident_bytes(worker) for worker in ready(server))
    with Client(server) as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                deaf.say(b"HELP\r\n" * 10_000)
        assert max(resident_bytes(worker) for worker in workers(server)) - before < 4 << 20


def test_a_large_message_passes_through_without_being_held(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place)
    before = max(resident_bytes(worker) for worker in ready(server))
    line = b"x" * 998 + b"\r\n"
    with Client(server) as client:
        client.hear(220)
        client.say(ENVELOPE)
        client.hear(250, 250, 354)
        for _ in range(40):
            client.say(line * 1000)
        peak = max(resident_bytes(worker) for worker in workers(server))
        client.say(b".\r\nQUIT\r\n")
        client.hear(250, 221)
    assert peak - before < 4 << 20
    text = next(text for name, text in files(place).items() if name.startswith("mess/"))
    assert text.count(b"x" * 998 + b"\n") == 40_000 and text.endswith(b"x\n")


def test_two_hundred_idle_clients_take_little(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place, "-c", "300")
    before = sum(resident_bytes(worker) for worker in ready(server))
    clients = [Client(server) for _ in range(200)]
    try:
        for client in clients:
            client.hear(220)
        assert sum(resident_bytes(worker) for worker in workers(server)) - before < 10 << 20
    finally:
        for client in clients:
            client.__exit__()
    server.until(r"end \d+ status 256", 200)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_clients_may_have_a_process_each(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place, SMTPDCLIENTS="1")
    cores = len(os.sched_getaffinity(0))
    clients = [Client(server) for _ in range(cores + 20)]
    try:
        for client in clients:
            client.hear(220)
        assert len(workers(server)) == cores + 20
    finally:
        for client in clients:
            client.__exit__()
    whole(server)
    wait_until(lambda: len(workers(server)) == cores + 8)
    assert all(number > PID_LIMIT for number in numbers(server))


def test_without_descriptors_a_client_is_hung_up_on_and_the_others_go_on(
    place: Path, queued: object, start: Start
) -> None:
    words = ["-vHRl0", "-1", "-c", "100", "127.0.0.1", "0", str(place / "bin/qmail-smtpd")]
    command = ["prlimit", "--nofile=24:24", str(BIN / "tcpserver"), *words]
    server = Server(command, start.directory, {"QMAIL_HOME": str(place), "PATH": "/usr/bin:/bin"})
    start.running.append(server)
    count = len(ready(server)) * 24
    clients = [Client(server) for _ in range(count)]
    try:
        server.until(r"end \d+ status 256")
        first = clients[0]
        first.hear(220)
        for client in clients[1:]:
            client.__exit__()
        server.until(r"end \d+ status 256", count - 1)
        first.say(MESSAGE + b"QUIT\r\n")
        first.hear(250, 250, 354, 250, 221)
    finally:
        clients[0].__exit__()
    whole(server)


# ---- how they end


def test_sessions_are_finished_when_the_server_ends(place: Path, queued: object, start: Start) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        server = serve(start, place)
        with Client(server) as client:
            client.hear(220)
            client.say(ENVELOPE)
            client.hear(250, 250, 354)
            left = ready(server)
            server.process.send_signal(number)
            server.process.wait(PATIENCE)
            # Nobody listens there any more: a restarted server can bind at once.
            with listening(server.port):
                client.say(b"hello\r\n.\r\nQUIT\r\n")
                client.hear(250, 221)
        wait_until(lambda left=left: not any(alive(worker) for worker in left))


def listening(port: int) -> socket.socket:
    """A socket that listens where a server did, which has just ended."""
    end = time.monotonic() + 2  # a worker that was only now forked may have the old one a moment longer
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_killed_worker_ends_its_sessions_and_is_followed(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place)
    with Client(server) as client:
        client.hear(220)
        killed = ready(server)
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not any(alive(worker) for worker in killed))
        with suppress(ConnectionResetError):
            assert client.file.read() == b""
    server.until(r"end \d+ status 9")
    for _ in range(3):
        whole(server)
    wait_until(lambda: len(workers(server)) == len(os.sched_getaffinity(0)) or whole(server) is not None)


# ---- what they take


def test_control_files_count_from_the_next_session_on(place: Path, queued: object, start: Start) -> None:
    server = serve(start, place)
    with Client(server) as early:
        early.hear(220)
        (place / "control/rcpthosts").write_text("other.example\n")
        (place / "control/smtpgreeting").write_text("new\n")
        with Client(server) as late:
            assert late.hear(220) == [b"220 new ESMTP\r\n"]
            late.say(ENVELOPE)
            late.hear(250, 553, 503)
        early.say(ENVELOPE)
        early.hear(250, 250, 354)


def test_without_qmail_queued_mail_is_deferred_until_it_is_there(place: Path, start: Start) -> None:
    server = serve(start, place)
    whole(server, 451)
    for _ in range(2):
        queued = start_queued(place)
        whole(server)
        queued.terminate()
        queued.wait(PATIENCE)
        whole(server, 451)


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (submit.answer(53, 0, full=True), 452, b"disk full (#4.3.1)"),
        (submit.answer(53, 0), 451, b"disk full (#4.3.0)"),
        (submit.answer(11, 0), 554, b"(#5.1.3)"),
        (submit.answer(71, 0), 451, b"temporarily rejected"),
        (b"nonsense that is no answer", 451, b"(#4.4.2)"),
    ],
)
def test_a_refusal_is_told_with_its_reason(place: Path, start: Start, answer: bytes, code: int, text: bytes) -> None:
    server = serve(start, place)
    for early in (False, True):
        with Queued(place, answer) as queued:
            queued.early = early
            for _ in range(2):
                with Client(server) as client:
                    client.hear(220)
                    for size in (10, 300_000):
                        client.say(ENVELOPE)
                        client.hear(250, 250, 354)
                        client.say(b"x" * size + b"\r\n.\r\n")
                        (line,) = client.hear(code)
                        assert text in line
            if not early:
                assert len(queued.messages) == 4


def test_connections_to_the_queue_are_kept(place: Path, start: Start) -> None:
    server = serve(start, place)
    with Queued(place) as queued:
        for _ in range(5):
            with Client(server) as client:
                client.say(MESSAGE + MESSAGE + b"QUIT\r\n")
                client.hear(220, 250, 250, 354, 250, 250, 250, 354, 250, 221)
        assert len(queued.messages) == 10
        assert queued.connections <= len(os.sched_getaffinity(0))
        queued.hang_up()
        time.sleep(0.1)
        whole(server)


def test_a_client_waits_for_the_queue_without_waking_anybody(place: Path, start: Start) -> None:
    server = serve(start, place)
    with Queued(place) as queued, Client(server) as client:
        client.hear(220)
        queued.speaks.clear()
        client.say(ENVELOPE)
        client.hear(250, 250, 354)
        client.say(b"x\r\n.\r\nNOOP\r\n")
        wait_until(lambda: queued.connections == 1)
        time.sleep(0.1)
        client.say(b"NOOP\r\n")  # unread until the queue has answered
        before = sum(cpu(worker) for worker in workers(server))
        time.sleep(1.0)
        assert sum(cpu(worker) for worker in workers(server)) - before <= 3
        queued.speaks.set()
        client.hear(250, 250, 250)


def cpu(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_fault_017_036_a_message_whose_client_has_gone_is_given_up_or_kept(place: Path, start: Start) -> None:
    server = serve(start, place)
    with Queued(place) as queued:
        with Client(server) as client:
            client.hear(220)
            client.say(ENVELOPE)
            client.hear(250, 250, 354)
            client.say(b"x" * 200_000)
            wait_until(lambda: queued.connections == 1)
        wait_until(lambda: queued.abandoned == 1)
        server.until(r"end \d+ status 256")
        with Client(server) as client:
            client.hear(220)
            client.say(ENVELOPE)
            client.hear(250, 250, 354)
            queued.speaks.clear()
            client.say(b"x\r\n.\r\n")
            wait_until(lambda: queued.connections == 2 or sum(1 for _ in queued.peers) >= 1)
        queued.speaks.set()
        wait_until(lambda: len(queued.messages) == 1)
        server.until(r"end \d+ status 256", 2)
        whole(server)


def test_workers_are_replaced_while_sessions_go_on(place: Path, queued: object, start: Start) -> None:
    """A worker has its share of connections, then a fresh one follows; nobody notices."""
    source = (TOP / "src/qmail/services/smtpd.py").read_text()
    assert re.search(r"^RETIRES = \d+  # connections$", source, re.MULTILINE)
    script = start.directory / "tcpserver.py"
    script.write_text(
        f"import sys\nsys.path[:0] = [{str(TOP / 'src')!r}]\n"
        "from qmail.services import smtpd\nsmtpd.RETIRES = 10\n"
        "from qmail.services.tcpserver import main\nfrom qmail.host.program import run\nrun(main)\n"
    )
    words = ["-vHRl0", "-1", "127.0.0.1", "0", str(place / "bin/qmail-smtpd")]
    server = Server(["/usr/bin/python3", "-IS", str(script), *words], start.directory, {"QMAIL_HOME": str(place)})
    start.running.append(server)
    first = ready(server)
    with Client(server) as old:
        old.hear(220)
        with ExitStack() as crowd:  # all at once, so that every worker gets its share
            for client in [crowd.enter_context(Client(server)) for _ in range(35)]:
                client.say(MESSAGE + b"QUIT\r\n")
                client.hear(220, 250, 250, 354, 250, 221)
        assert set(workers(server)) - set(first)
        old.say(MESSAGE + b"QUIT\r\n")
        old.hear(250, 250, 354, 250, 221)
    server.until(r"end \d+ status 0", 36)
    wait_until(lambda: not any(alive(worker) for worker in first))
    assert all(number > PID_LIMIT for number in numbers(server))


def test_random_clients_end_no_worker(place: Path, queued: object, start: Start) -> None:
    """Words of SMTP and noise, in pieces of any size, and clients that vanish at any moment."""
    server = serve(start, place, "-c", "100")
    before = ready(server)
    chance, count = random.Random(20260101), 150
    words = [
        b"HELO x\r\n", b"EHLO y\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@example.org>\r\n", b"DATA\r\n", b"RSET\r\n",
        b"x\r\n", b".\r\n", b"\r\n.\r\n", b"\n", b"\0", b"QUIT\r\n", b"y" * 70_000, b"z" * 999 + b"\r\n", MESSAGE,
    ]  # fmt: skip
    clients: list[Client] = []
    for _ in range(count):
        client = Client(server)
        clients.append(client)
        client.socket.settimeout(0.05)
        with suppress(OSError):
            for _ in range(chance.randrange(12)):
                client.say(chance.choice(words))
                if chance.random() < 0.2:
                    client.socket.recv(1 << chance.randrange(16))
        if chance.random() < 0.3:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
        if len(clients) > 20 or chance.random() < 0.3:
            clients.pop(chance.randrange(len(clients))).__exit__()
    for client in clients:
        client.__exit__()
    server.until(r"end \d+ status (0|256)$", count)
    assert sorted(workers(server)) == sorted(before)
    whole(server)
    words_of_workers = [line for line in server.log.read_text().splitlines() if not line.startswith("tcpserver: ")]
    assert words_of_workers == []
