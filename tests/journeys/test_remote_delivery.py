"""Mail goes out: to smtp-sink, and from one host of ours to another and back as a bounce."""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from journeys.conftest import Host, eventually, free_port

Make = Callable[..., Host]


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """smtp-sink, writing each message to a file: (port, directory)."""
    program = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    if not Path(program).exists():
        pytest.skip("needs smtp-sink (Debian: postfix)")
    port, place = free_port(), tmp_path / "sink"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    process = subprocess.Popen(
        [program, "-4", "-d", f"{place}/%M.", f"127.0.0.1:{port}", "100"],
        **({"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}),
    )
    eventually("smtp-sink", lambda: _open(port))
    yield port, place
    process.terminate()
    process.wait()


def _open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_relayed_message_reaches_the_next_host_byte_for_byte(host: Host, sink: tuple[int, Path]) -> None:
    port, place = sink
    host.control("smtproutes", f".far.example:[127.0.0.1]:{port}")
    host.smtp_environment = {"RELAYCLIENT": ""}
    host.start()
    body = "\r\n".join(["..two dots", ".", "From here", "x" * 900, "é".encode().decode("latin-1")])
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        client.sendmail("a@here.example", ["b@very.far.example"], f"Subject: dots\r\n\r\n{body}\r\n".encode("latin-1"))
    host.wait_for_log("send", "delivery 1: success: ")
    host.wait_for_empty_queue()
    (file,) = place.iterdir()
    text = file.read_bytes()
    assert body.encode("latin-1").replace(b"\r\n", b"\n") in text.replace(b"\r\n", b"\n")
    assert "127.0.0.1_accepted_message." in host.log()


def test_many_messages_for_one_host_share_connections(host: Host, sink: tuple[int, Path]) -> None:
    port, place = sink
    host.control("smtproutes", f":[127.0.0.1]:{port}")
    host.smtp_environment = {"RELAYCLIENT": ""}
    host.start()
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        for number in range(60):
            client.sendmail("a@here.example", ["b@far.example"], f"Subject: {number}\r\n\r\nx\r\n")
    eventually("60 files", lambda: len(list(place.iterdir())) >= 60)
    host.wait_for_empty_queue()
    assert host.log().count(" success: ") == 60


def test_a_bounce_finds_its_way_back_between_two_hosts(make_host: Make) -> None:
    """A relays to B, B bounces to A's user, through A's own port."""
    a, b = make_host("a.example"), make_host("b.example")
    joe = a.user("joe")
    b.user("ann")
    a.control("smtproutes", f"b.example:[127.0.0.1]:{b.port}")
    b.control("smtproutes", f"a.example:[127.0.0.1]:{a.port}")
    a.smtp_environment = {"RELAYCLIENT": ""}
    a.start()
    b.start()
    with smtplib.SMTP("127.0.0.1", a.port) as client:
        client.sendmail("joe@a.example", ["missing@b.example"], "Subject: lost\r\n\r\nx\r\n")
    (bounce,) = joe.wait_for_mail()
    assert b"Hi. This is the qmail-send program at b.example." in bounce
    assert b"<missing@b.example>:" in bounce
    assert b"Subject: lost" in bounce
    a.wait_for_empty_queue()
    b.wait_for_empty_queue()


def test_a_dead_destination_defers_and_does_not_bounce(host: Host) -> None:
    host.control("smtproutes", f"dead.example:[127.0.0.1]:{free_port()}")
    host.smtp_environment = {"RELAYCLIENT": ""}
    host.start()
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        client.sendmail("a@here.example", ["b@dead.example"], "Subject: x\r\n\r\nx\r\n")
    host.wait_for_log("send", r"delivery 1: deferral: Sorry,_I_wasn't_able_to_establish_an_SMTP_connection")
    assert host.queued()
