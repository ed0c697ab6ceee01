"""qmail-popup and qmail-pop3d, with a client of their time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import poplib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, needs_root

UID = 4242 if os.geteuid() == 0 else os.geteuid()
CHECKER = """#!/bin/sh
cat <&3 | tr '\\0' '\\n' >"{place}/said"
{{ read name; read word; read stamp; }} <"{place}/said"
[ "$name" = joe ] || exit 1
digest=$(printf '%s' "${{stamp}}secret" | md5sum | cut -d' ' -f1)
case "$word" in secret|"$digest") ;; *) exit 1 ;; esac
exec "$@"
"""


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    place = tmp_path / "user" / "Maildir"
    for name in ("new", "cur", "tmp"):
        (place / name).mkdir(parents=True)
    put(place, "cur/1.a:2,S", b"Subject: one\n\n.dot\n", 400)
    put(place, "new/2.b", b"Subject: two\n\nx", 300)
    put(place, "new/3.c", b"Subject: three\n\n1\n2\n", 200)
    if os.geteuid() == 0:
        for path in (place.parent, place, *place.rglob("*")):
            os.chown(path, UID, UID)
    return place


def put(place: Path, name: str, text: bytes, ago: int) -> None:
    import time

    (place / name).write_bytes(text)
    os.utime(place / name, (time.time() - ago,) * 2)


def names(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


@contextlib.contextmanager
def served(*command: str | Path, cwd: Path, drop: bool = False) -> Iterator[int]:
    """The program behind one connection at a time, as tcpserver would run it; the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def serve() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                with connection:
                    identity = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 and drop else {}
                    env = {"PATH": f"{BIN}:/usr/bin:/bin"}
                    subprocess.run(
                        command, stdin=connection, stdout=connection, env=env, cwd=cwd, timeout=30, **identity
                    )
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)


def pop3d(maildir: Path, data: bytes) -> tuple[int, bytes, bytes]:
    identity = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [BIN / "qmail-pop3d", "Maildir"], input=data, capture_output=True, cwd=maildir.parent, timeout=60, **identity
    )
    return done.returncode, done.stdout, done.stderr


def test_a_client_reads_and_deletes(maildir: Path) -> None:
    with served(BIN / "qmail-pop3d", "Maildir", cwd=maildir.parent, drop=True) as port:
        client = poplib.POP3("127.0.0.1", port, timeout=20)
        assert client.stat() == (3, 19 + 15 + 20)
        assert [line.split()[1] for line in client.uidl()[1]] == [b"1.a", b"2.b", b"3.c"]
        assert client.retr(1)[1] == [b"Subject: one", b"", b".dot", b""]
        assert client.top(3, 1)[1] == [b"Subject: three", b"", b"1", b""]
        client.dele(1)
        client.quit()
    assert names(maildir) == ["cur/2.b:2,", "cur/3.c:2,"]


def test_without_quit_nothing_changes(maildir: Path) -> None:
    before = names(maildir)
    assert pop3d(maildir, b"DELE 1\r\nRETR 2\r\n")[0] == 0
    assert names(maildir) == before


def test_a_message_in_the_way_is_not_lost(maildir: Path) -> None:
    put(maildir, "cur/2.b:2,", b"another\n", 100)
    pop3d(maildir, b"QUIT\r\n")
    assert names(maildir) == ["cur/1.a:2,S", "cur/2.b:2,", "cur/3.c:2,", "new/2.b"]
    assert (maildir / "cur/2.b:2,").read_bytes() == b"another\n"


def test_a_message_that_is_gone_is_said_so(maildir: Path) -> None:
    done = subprocess.Popen(
        [BIN / "qmail-pop3d", "Maildir"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=maildir.parent,
        **({"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}),
    )  # fmt: skip
    assert done.stdout is not None
    assert done.stdout.readline() == b"+OK \r\n"
    (maildir / "new/2.b").unlink()
    out, _ = done.communicate(b"RETR 2\r\nDELE 2\r\nQUIT\r\n", timeout=30)
    assert out == (
        b"-ERR unable to open that message\r\n+OK \r\n-ERR unable to unlink all deleted messages\r\n+OK \r\n"
    )


def test_what_deliveries_left_behind_goes(maildir: Path) -> None:
    put(maildir, "tmp/old", b"", 130_000)
    put(maildir, "tmp/young", b"", 129_000)
    pop3d(maildir, b"")
    assert [name for name in names(maildir) if name.startswith("tmp")] == ["tmp/young"]


def test_no_maildir_is_said_so(tmp_path: Path, maildir: Path) -> None:
    (maildir / "new/2.b").unlink()
    (maildir / "new/3.c").unlink()
    (maildir / "new").rmdir()
    assert pop3d(maildir, b"") == (0, b"-ERR unable to scan $HOME/Maildir\r\n", b"")
    maildir.rename(maildir.parent / "other")
    assert pop3d(maildir, b"") == (0, b"-ERR this user has no $HOME/Maildir\r\n", b"")


@needs_root
def test_root_has_no_mail(maildir: Path) -> None:
    done = subprocess.run([BIN / "qmail-pop3d", "Maildir"], capture_output=True, cwd=maildir.parent, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.fixture
def checker(tmp_path: Path) -> Path:
    place = tmp_path / "checked"
    place.mkdir()
    path = place / "checker"
    path.write_text(CHECKER.format(place=place))
    path.chmod(0o755)
    return path


def popup(checker: Path | str, cwd: Path) -> contextlib.AbstractContextManager[int]:
    return served(BIN / "qmail-popup", "pop.example.org", str(checker), "echo", "+OK inside", cwd=cwd)


def test_name_and_password_reach_the_checker(checker: Path, tmp_path: Path) -> None:
    with popup(checker, tmp_path) as port:
        client = poplib.POP3("127.0.0.1", port, timeout=20)
        client.user("joe")
        assert client.pass_("secret") == b"+OK inside"
    said = (checker.parent / "said").read_text().split("\n")
    assert said[:2] == ["joe", "secret"]
    assert said[2].endswith("@pop.example.org>")


def test_apop_needs_no_password_on_the_wire(checker: Path, tmp_path: Path) -> None:
    with popup(checker, tmp_path) as port:
        assert poplib.POP3("127.0.0.1", port, timeout=20).apop("joe", "secret") == b"+OK inside"
    stamp = (checker.parent / "said").read_text().split("\n")[2]
    assert (checker.parent / "said").read_text().split("\n")[1] == hashlib.md5(f"{stamp}secret".encode()).hexdigest()


def test_a_wrong_password_is_refused(checker: Path, tmp_path: Path) -> None:
    with popup(checker, tmp_path) as port:
        client = poplib.POP3("127.0.0.1", port, timeout=20)
        client.user("joe")
        with pytest.raises(poplib.error_proto, match="authorization failed"):
            client.pass_("wrong")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", b""),
        (b"STAT\r\nNOOP\r\nquit\r\n", b"-ERR authorization first\r\n+OK \r\n+OK \r\n"),
        (b"PASS x\r\nUSER\r\nAPOP joe\r\n", b"-ERR USER first\r\n-ERR syntax error\r\n-ERR syntax error\r\n"),
    ],
)
def test_nothing_is_open_before(checker: Path, tmp_path: Path, data: bytes, said: bytes) -> None:
    command = [BIN / "qmail-popup", "h", checker, "true"]
    done = subprocess.run(command, input=data, capture_output=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 1
    greeting, _, rest = done.stdout.partition(b"\r\n")
    assert greeting.startswith(b"+OK <") and greeting.endswith(b"@h>")
    assert rest == said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sh", "-c", "exit 1"], b"-ERR authorization failed\r\n"),
        (["/nonexistent"], b"-ERR authorization failed\r\n"),
        (["sh", "-c", "kill -9 $$"], b"-ERR aack, child crashed\r\n"),
        (["true"], b""),
    ],
)
def test_the_checkers_end_is_told(command: list[str], said: bytes, tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "qmail-popup", "h", *command], input=b"USER a\nPASS b\n", capture_output=True, cwd=tmp_path, timeout=60
    )
    assert (done.returncode, done.stdout.split(b"\r\n", 2)[2]) == (1, said)
