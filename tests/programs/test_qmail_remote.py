"""qmail-remote, against servers that behave and servers that do not."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BIN, Run
from scripted import Peer, Step, taking

MESSAGE = b"Subject: t\n\nhello\n"


class Remote:
    """A home whose mail for anywhere goes to one port of this machine."""

    def __init__(self, home: Path, program: Run) -> None:
        self.home, self._program = home, program
        self.control("me", "client.example\n")
        self.control("timeoutremote", "5\n")

    def control(self, name: str, text: str) -> None:
        (self.home / "control" / name).write_text(text)

    def send(
        self,
        port: int = 0,
        *recipients: str,
        message: bytes = MESSAGE,
        host: str = "example.org",
        env: dict[str, str] | None = None,
    ) -> bytes:
        if port:
            self.control("smtproutes", f":[127.0.0.1]:{port}\n")
        done = self._program(
            "qmail-remote", host, "s@client.example", *(recipients or ("r@example.org",)), stdin=message,
            env={"QMAIL_HOME": str(self.home), **(env or {})},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout


@pytest.fixture
def remote(home: Path, program: Run) -> Remote:
    return Remote(home, program)


def test_a_message_is_sent_line_by_line_with_dots_doubled(remote: Remote) -> None:
    with Peer(taking()) as peer:
        report = remote.send(peer.port, message=b".\n..\n\na\r\nb.c\n.\r.\n")
    assert report == b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 queued\n\0"
    assert peer.got == [
        b"HELO client.example\r\nMAIL FROM:<s@client.example>\r\nRCPT TO:<r@example.org>\r\nDATA\r\n"
        b"..\r\n...\r\n\r\na\r\nb.c\r\n..\r\n..\r\n.\r\nQUIT\r\n"
    ]


def test_a_large_message_arrives_whole(remote: Remote) -> None:
    message = b"".join(b".%d\n" % number + b"x" * (number % 2000) + b"\r\n" for number in range(2000))
    with Peer(taking()) as peer:
        assert b"K127.0.0.1" in remote.send(peer.port, message=message)
    sent = peer.got[0].partition(b"DATA\r\n")[2].removesuffix(b".\r\nQUIT\r\n")
    lines = [line.removeprefix(b".") for line in sent.split(b"\r\n")]
    assert b"\n".join(lines) == message.replace(b"\r\n", b"\n")


def test_a_cr_at_the_edge_of_a_block_makes_no_line_of_its_own(remote: Remote) -> None:
    for size in (65534, 65535, 65536):
        with Peer(taking()) as peer:
            remote.send(peer.port, message=b"x" * size + b"\r\n.y\n")
        assert peer.got[0].endswith(b"x\r\n..y\r\n.\r\nQUIT\r\n")


def test_fault_081_each_recipient_has_a_record_of_its_own(remote: Remote) -> None:
    replies = [b"250 ok\r\n", b"450 a\r\n", b"550-b\r\n550 c\r\n", b"250 ok\r\n"]
    script = taking()[:5] + [step for reply in replies for step in ("line", reply)] + taking()[7:]
    with Peer(script) as peer:
        report = remote.send(peer.port, "a@h", "b@h", "c@h", "a b@h")
    assert report == (
        b"r\0s127.0.0.1 does not like recipient.\nRemote host said: 450 a\n\0"
        b"h127.0.0.1 does not like recipient.\nRemote host said: 550-b\n550 c\n\0r\0"
        b"K127.0.0.1 accepted message.\nRemote host said: 250 queued\n\0"
    )
    assert b'RCPT TO:<"a b"@h>\r\n' in peer.got[0]


@pytest.mark.parametrize("recipient", ["r@h>\r\nRCPT TO:<x@y", "r@h> NOTIFY=NEVER", "r> X", 'r@h"', "r@h h", "r@<h"])
def test_fault_068_an_address_makes_no_command_and_no_parameter(remote: Remote, recipient: str) -> None:
    with Peer(taking()) as peer:
        report = remote.send(peer.port, recipient)
    assert report.startswith(b"DSorry, SMTP has no words for an address with a line break")
    assert peer.got == []


@pytest.mark.parametrize(
    ("script", "report"),
    [
        ([b"2\r\n", "line"], b"connection died. (#4.4.2)"),
        ([b"999 no\r\n"], b"greeting failed.\nRemote host said: 999 no\n"),
        ([b"HTTP/1.1 400\r\n"], b"greeting failed.\nRemote host said: HTTP/1.1 400\n"),
        ([b"220-\xff\r\n" * 5000, "line"], b"connection died. (#4.4.2)"),
        ([b"2" * 1_000_000, "line"], b"connection died. (#4.4.2)"),
        ([b"220 mx\r\n", "line", "reset"], b"connection died. (#4.4.2)"),
        (taking(mail=b"\0\0\0\0\r\n"), b"sender was rejected.\nRemote host said: ????\n"),
    ],
    ids=["short", "code 999", "not SMTP", "no end of lines", "no end of line", "reset", "NULs"],
)
def test_fault_079_a_greeting_or_reply_that_is_none_ends_the_delivery(
    remote: Remote, script: list[Step], report: bytes
) -> None:
    with Peer(script) as peer:
        assert report in remote.send(peer.port)


def test_fault_079_a_silent_server_is_left_after_the_time_limit(remote: Remote) -> None:
    remote.control("timeoutremote", "1\n")
    started = time.monotonic()
    with Peer(["line"]) as peer:
        assert remote.send(peer.port) == b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\0"
    assert time.monotonic() - started < 10


def test_fault_079_a_server_that_drips_a_reply_has_one_time_limit_for_all_of_it(remote: Remote) -> None:
    remote.control("timeoutremote", "1\n")
    listener = socket.create_server(("127.0.0.1", 0))
    child = subprocess.Popen(
        ["/bin/sh", "-c", "while printf 220-; do printf 'x\r\n'; sleep 0.3; done 2>/dev/null"], stdout=subprocess.PIPE
    )
    remote.control("smtproutes", f":[127.0.0.1]:{listener.getsockname()[1]}\n")
    asked = subprocess.Popen(
        [str(BIN / "qmail-remote"), "h", "s@x", "r@h"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        env={"QMAIL_HOME": str(remote.home)},
    )  # fmt: skip
    peer, _ = listener.accept()
    assert child.stdout is not None
    while asked.poll() is None:
        try:
            peer.sendall(child.stdout.read1(100))
        except OSError:
            break
    assert asked.communicate(timeout=20)[0] == b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\0"
    child.terminate()
    child.wait()
    peer.close()
    listener.close()


def test_fault_080_a_reply_sent_early_answers_the_next_command_only(remote: Remote) -> None:
    with Peer([b"220 x\r\n250 x\r\n550 no\r\n250 ok\r\n", "line", "line"]) as peer:
        assert remote.send(peer.port) == (
            b"DConnected to 127.0.0.1 but sender was rejected.\nRemote host said: 550 no\n\0"
        )


def test_fault_082_a_drop_after_the_dot_says_that_a_duplicate_is_possible(remote: Remote) -> None:
    with Peer([*taking()[:-1], "close"]) as peer:
        report = remote.send(peer.port)
    assert report == b"r\0ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n\0"


def test_fault_020_a_partial_last_line_is_never_sent(remote: Remote) -> None:
    with Peer(taking()) as peer:
        report = remote.send(peer.port, message=b"x" * 200000 + b"\nend")
    assert report == b"r\0DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n\0"
    assert not peer.got[0].endswith(b".\r\n")
    assert b"end" not in peer.got[0]


def test_a_host_that_refuses_is_no_timeout_and_a_silent_one_is(remote: Remote) -> None:
    table = remote.home / "queue/lock/tcpto"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert remote.send(port).startswith(b"ZSorry, I wasn't able to establish an SMTP connection.")
    assert table.read_bytes() == bytes(1024)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # Connections beyond the backlog get no answer at all.
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        remote.control("timeoutconnect", "1\n")
        assert remote.send(full.getsockname()[1]).startswith(b"ZSorry, I wasn't able to establish")
        for each in waiting:
            each.close()
    assert table.read_bytes()[:5] == b"\x7f\0\0\1\1"


def test_fault_084_a_dead_address_of_a_host_does_not_hold_up_a_live_one(remote: Remote, tmp_path: Path) -> None:
    from qmail.host import connect

    with Peer(taking()) as peer:
        attempt = connect.connect([bytes(15) + b"\1", b"\x7f\0\0\1"], peer.port, 5, 5)
        assert attempt.connection is not None
        assert attempt.address == b"\x7f\0\0\1"
        attempt.connection.close()


def test_a_silent_address_is_overtaken_by_the_next_one() -> None:
    from qmail.host import connect

    with socket.create_server(("127.0.0.2", 0), backlog=0) as full, Peer(taking(), port=full.getsockname()[1]) as peer:
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        attempt = connect.connect([b"\x7f\0\0\2", b"\x7f\0\0\1"], peer.port, 10, 5)
        assert attempt.connection is not None
        assert attempt.address == b"\x7f\0\0\1"
        assert attempt.silent == []
        attempt.connection.close()
        for each in waiting:
            each.close()


@pytest.mark.parametrize(
    "host", ["[127.0.0.1]", "127.0.0.1", "[IPv6:::1]", "[0.0.0.0]", "[127.1.2.3]", "[::ffff:127.0.0.1]"]
)
def test_fault_084_an_address_of_this_machine_without_a_route_is_never_tried(remote: Remote, host: str) -> None:
    assert remote.send(host=host).startswith(b"DSorry. Although I'm listed as a best-preference MX")


@pytest.mark.parametrize("seconds", ["0", "999999999999999999", "x"])
def test_any_time_limit_is_one(remote: Remote, seconds: str) -> None:
    remote.control("timeoutremote", f"{seconds}\n")
    remote.control("timeoutconnect", f"{seconds}\n")
    with Peer(taking()) as peer:
        assert remote.send(peer.port).startswith(b"r\0K")


def test_an_unreadable_control_file_is_temporary(remote: Remote) -> None:
    (remote.home / "control/smtproutes").mkdir()
    assert remote.send() == b"ZUnable to read control files. (#4.3.0)\n\0"


def test_starting_loads_no_library_that_is_not_needed(remote: Remote) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", "strace", "-f", "-e", "trace=openat", str(BIN / "qmail-remote"), "x"],
        capture_output=True, env={"PATH": "/usr/bin:/bin", "QMAIL_HOME": str(remote.home)},
    )  # fmt: skip
    assert b"qmail_remote" in done.stdout
    for heavy in (b"typing", b"enum", b"dataclasses", b"/re/", b"/socket.", b"subprocess", b"/dns/"):
        assert heavy not in done.stdout
