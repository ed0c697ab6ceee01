"""Mail comes by LMTP: from a real client, over TCP and over a socket in the file system."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from journeys.conftest import Host, eventually


def test_the_client_is_no_harvester(host: Host) -> None:
    host.user("joe")
    host.start()
    host.start_rcptd()
    many = [f"jim{i}@here.example".encode() for i in range(30)]
    rcpt = [b"RCPT TO:<%b>" % each for each in (*many, b"joe@here.example")]
    talk = b"".join(line + b"\r\n" for line in (b"LHLO f", b"MAIL FROM:<a@b>", *rcpt, b"DATA", b"\r\nhi\r\n.", b"QUIT"))
    done = subprocess.run(
        [host.home / "bin/qmail-lmtpd"], input=talk, env=host.environment, capture_output=True, timeout=60, check=True
    )
    assert done.stdout.count(b"\r\n550 5.1.1 ") == 30 and done.stdout.count(b"\r\n250 2.0.0 ok") == 1
    host.users[0].wait_for_mail()


@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_postfix_hands_mail_over(host: Host, tmp_path: Path, where: str) -> None:
    host.user("joe")
    host.alias("default", "&joe\n")  # recipients get numbers in front
    host.start()
    place = str(tmp_path / "lmtp")
    with socket.create_server(("127.0.0.1", 0)) if where == "tcp" else socket.socket(socket.AF_UNIX) as listener:
        if where == "unix":
            listener.bind(place)
            listener.listen(20)
        address = f"inet:127.0.0.1:{listener.getsockname()[1]}" if where == "tcp" else f"unix:{place}"

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    subprocess.Popen([host.home / "bin/qmail-lmtpd"], stdin=peer, stdout=peer, env=host.environment)

        threading.Thread(target=serve, daemon=True).start()
        done = subprocess.run(
            ["smtp-source", "-L", "-m", "6", "-s", "2", "-r", "3", "-f", "a@b.example", "-t", "joe@here.example",
             address],
            capture_output=True, timeout=60,
        )  # fmt: skip
        listener.shutdown(socket.SHUT_RDWR)
    assert (done.returncode, done.stderr) == (0, b"")
    assert all(b"with LMTP;" in each for each in host.users[0].wait_for_mail(18))
    eventually("an empty queue", lambda: not host.queued())
