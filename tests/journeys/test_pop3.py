"""Mail by POP3: real clients, tcpserver, qmail-popup, a checker, and qmail-pop3d as the user."""

from __future__ import annotations

import os
import poplib
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounts import PASSWORD, UID, Accounts
from conftest import BIN, TOP, needs_root
from qmail.host import libcrypt
from serving import Server

pytestmark = needs_root

MESSAGES = {
    "1.a": b"Subject: first\n\nhello\n.dot\n",
    "2.b": b"Subject: second\n\nworld\n",
    "3.c": b"Subject: third\n\nend\n",
}
SECRET = PASSWORD.decode()


class Place:
    """A POP3 server for joe, and his Maildir."""

    def __init__(self, server: Server, maildir: Path, place: Path) -> None:
        self.server, self.maildir, self.place = server, maildir, place

    @property
    def port(self) -> int:
        return self.server.port

    def names(self) -> list[str]:
        """What is in new/ and cur/."""
        return sorted(f"{path.parent.name}/{path.name}" for path in self.maildir.glob("[nc]*/*"))

    def owners(self) -> set[int]:
        """Whose the messages are."""
        return {path.stat().st_uid for path in self.maildir.glob("[nc]*/*")}

    def login(self, password: str = SECRET) -> poplib.POP3:
        """One who has been let in."""
        client = poplib.POP3("127.0.0.1", self.port, timeout=30)
        client.user("joe")
        client.pass_(password)
        return client


Serve = Callable[..., Place]


@pytest.fixture
def serve(tmp_path: Path, home: Path) -> Iterator[Serve]:
    """`serve("checkpassword")`, or another checker with its own words."""
    running: list[Server] = []

    def start(checker: str | Path, *, popup: list[str] | None = None, pam: str | None = None) -> Place:
        accounts = Accounts(tmp_path, pam=pam)
        maildir = accounts.home("joe") / "Maildir"
        for name in ("new", "cur", "tmp"):
            (maildir / name).mkdir(parents=True)
        for at, (name, text) in enumerate(MESSAGES.items()):
            (maildir / "new" / name).write_bytes(text)
            os.utime(maildir / "new" / name, (time.time() - 300 + at,) * 2)
        for path in (maildir, *maildir.rglob("*")):
            os.chown(path, UID, UID)
        hashed = libcrypt.crypt(PASSWORD, b"$1$salt$") or b""
        file = home / "users/passwords"
        file.write_bytes(b"joe:" + hashed + b"\n")
        file.chmod(0o600)
        command = [
            *accounts.command, str(BIN / "tcpserver"), "-vHRl0", "-1", "127.0.0.1", "0",
            *(popup or [str(BIN / "qmail-popup")]), "pop.example.org",
            str(checker), str(BIN / "qmail-pop3d"), "Maildir",
        ]  # fmt: skip
        env = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "QMAIL_HOME": str(home)}
        running.append(Server(command, tmp_path, env))
        return Place(running[-1], maildir, tmp_path)

    yield start
    for server in running:
        server.process.kill()
        server.process.wait()
        assert server.process.stdout is not None
        server.process.stdout.close()


def client(place: Place, *command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a client as an ordinary user, whose name it wants to know, with a home of its own."""
    user = pwd.getpwnam("nobody")
    mine = place.place / "client"
    mine.mkdir(exist_ok=True)
    for path in (mine, *mine.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(mine), "LANG": "C.UTF-8"}
    return subprocess.run(
        command, capture_output=True, env=env, cwd=mine, user=user.pw_uid, group=user.pw_gid, extra_groups=[],
        timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def wanted(text: bytes) -> bytes:
    """A message as a client with CR LF sees it, and the empty line that qmail-pop3d adds."""
    return (text + b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize(("checker", "pam"), [("checkpassword", None), ("checkpassword", "pam"), ("checkpwfile", None)])
def test_getmail_fetches_and_deletes(serve: Serve, checker: str, pam: str | None) -> None:
    place = serve(checker, pam=pam and "@include common-auth\n@include common-account\n")  # as docs/pop3.md says
    mine = place.place / "client"
    for name in ("new", "cur", "tmp"):
        (mine / "mail" / name).mkdir(parents=True)
    (mine / "rc").write_text(
        f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {place.port}\nusername = joe\n"
        f"password = {SECRET}\n[destination]\ntype = Maildir\npath = {mine}/mail/\n"
        "[options]\ndelete = true\ndelivered_to = false\nreceived = false\nverbose = 1\n"
    )
    done = client(place, "getmail", f"--getmaildir={mine}", f"--rcfile={mine}/rc")
    assert done.returncode == 0, done
    got = sorted(path.read_bytes() for path in (mine / "mail/new").iterdir())
    # getmail puts a Return-Path in front.
    assert [text.rstrip().partition(b"\n")[2] for text in got] == [text.rstrip() for text in MESSAGES.values()]
    assert place.names() == []


@pytest.mark.parametrize("checker", ["checkpassword", "checkpwfile"])
def test_fetchmail_fetches_and_keeps(serve: Serve, checker: str) -> None:
    place = serve(checker)
    mine = place.place / "client"
    mine.mkdir()
    (mine / "rc").write_text(
        f'poll 127.0.0.1 protocol pop3 port {place.port} uidl\n  user "joe" password "{SECRET}" sslproto "" keep\n'
        f'  mda "cat >> {mine}/box; echo == >> {mine}/box"\n'
    )
    (mine / "rc").chmod(0o600)
    command = ["fetchmail", "-f", str(mine / "rc"), "--nosyslog", "--pidfile", str(mine / "pid"), "--nodetach"]
    done = client(place, *command)
    assert done.returncode == 0, done
    text = (mine / "box").read_bytes()
    assert [part.count(b"Subject:") for part in text.split(b"==\n")] == [1, 1, 1, 0]
    assert place.names() == ["cur/1.a:2,", "cur/2.b:2,", "cur/3.c:2,"]
    assert place.owners() == {UID}
    assert client(place, *command).returncode == 1, "nothing new: names are the same again"


@pytest.mark.parametrize("checker", ["checkpassword", "checkpwfile"])
def test_curl_lists_and_reads(serve: Serve, checker: str) -> None:
    place = serve(checker)
    url = f"pop3://127.0.0.1:{place.port}/"
    listed = client(place, "curl", "-sS", "-u", f"joe:{SECRET}", url)
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert listed.stdout == b"".join(b"%d %d\r\n" % (at + 1, len(text)) for at, text in enumerate(MESSAGES.values()))
    read = client(place, "curl", "-sS", "-u", f"joe:{SECRET}", url + "1")
    assert read.stdout == wanted(MESSAGES["1.a"])
    refused = client(place, "curl", "-sS", "-u", "joe:wrong", url)
    assert refused.returncode == 67, "access denied"


@pytest.mark.parametrize("checker", ["checkpassword", "checkpwfile"])
def test_apop_is_refused_in_words_where_no_password_is_known(serve: Serve, checker: str) -> None:
    with socket.create_connection(("127.0.0.1", serve(checker).port), 30) as connection:
        lines = connection.makefile("rb")
        assert lines.readline() == b"+OK pop.example.org\r\n", "no time stamp: APOP is not offered"
        connection.sendall(b"APOP joe c4c9334bac560ecc979e58001b3e22fb\r\n")
        assert lines.readline() == b"-ERR no APOP, since passwords are not kept here as they are; use USER and PASS\r\n"
        connection.sendall(b"USER joe\r\nPASS " + PASSWORD + b"\r\n")
        assert [lines.readline() for _ in range(2)] == [b"+OK \r\n"] * 2, "the conversation goes on"


APOP = """#!/usr/bin/python3 -I
import hashlib, os, sys
name, word, stamp = os.read(3, 512).split(b"\\0")[:3]
os.close(3)
if (name, word) != (b"joe", hashlib.md5(stamp + b"secret").hexdigest().encode()):
    sys.exit(1)
os.setgroups([]); os.setgid(UID); os.setuid(UID); os.chdir(HOME)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_apop_works_with_a_checker_that_knows_passwords(serve: Serve, tmp_path: Path) -> None:
    checker = tmp_path / "apopchecker"
    checker.write_text(APOP.replace("UID", str(UID)).replace("HOME", repr(str(tmp_path / "home-joe"))))
    checker.chmod(0o755)
    place = serve(checker)
    pop = poplib.POP3("127.0.0.1", place.port, timeout=30)
    pop.apop("joe", "secret")
    assert pop.stat()[0] == 3
    pop.quit()
    done = client(place, "curl", "-sS", "-u", "joe:secret", f"pop3://127.0.0.1:{place.port}/2")
    assert done.stdout == wanted(MESSAGES["2.b"]), "curl takes APOP where it is offered"


@pytest.mark.parametrize("checker", ["checkpassword", "checkpwfile"])
def test_a_wrong_password_opens_nothing_and_the_next_one_is_welcome(serve: Serve, checker: str) -> None:
    place = serve(checker)
    for name, password in (("joe", "wrong"), ("nobodysuch", SECRET), ("root", ""), ("joe", SECRET + "x")):
        pop = poplib.POP3("127.0.0.1", place.port, timeout=30)
        pop.user(name)
        with pytest.raises(poplib.error_proto, match=r"authorization failed|syntax error"):
            pop.pass_(password)
        pop.close()
    assert place.names() == ["new/1.a", "new/2.b", "new/3.c"]
    assert place.login().stat()[0] == 3


CHECKERS = {
    "crashes": ("kill -SEGV $$", b"-ERR aack, child crashed\r\n"),
    "is not there": ("exec /no/such/program", b"-ERR authorization failed\r\n"),
    "does not read": ("exec 3<&-; exit 1", b"-ERR authorization failed\r\n"),
    "writes junk": ("cat <&3 >/dev/null; echo junk; exit 1", b"junk\n-ERR authorization failed\r\n"),
    "says yes and means no": ("printf '+OK\\r\\n'; exit 1", b"+OK\r\n-ERR authorization failed\r\n"),
    "has no time": ("exit 111", b"-ERR authorization failed\r\n"),
}


@pytest.mark.parametrize("what", CHECKERS)
def test_fault_055_a_broken_checker_lets_nobody_in(serve: Serve, tmp_path: Path, what: str) -> None:
    script, said = CHECKERS[what]
    checker = tmp_path / "checker"
    checker.write_text("#!/bin/sh\n" + script + "\n")
    checker.chmod(0o755)
    place = serve(checker)
    for _ in range(2):
        text = place.server.talk(send=b"USER joe\r\nPASS x\r\nSTAT\r\nRETR 1\r\n")
        assert text.split(b"\r\n", 2)[2] == said
    assert place.names() == ["new/1.a", "new/2.b", "new/3.c"]


HURRIED = """
import sys
sys.path.insert(0, "TREE")
from qmail.host.program import run
from qmail.programs.retrieve import qmail_popup
qmail_popup.SILENCE = 1
run(qmail_popup.main)
"""


@pytest.fixture
def hurried(tmp_path: Path) -> list[str]:
    """A qmail-popup that gives its checker a second, not two minutes."""
    script = tmp_path / "popup.py"
    script.write_text(HURRIED.replace("TREE", str(TOP / "src")))
    return [sys.executable, "-IS", str(script)]


def test_fault_055_a_checker_that_hangs_is_ended(serve: Serve, tmp_path: Path, hurried: list[str]) -> None:
    checker = tmp_path / "checker"
    checker.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n")
    checker.chmod(0o755)
    place = serve(checker, popup=hurried)
    text = place.server.talk(send=b"USER joe\r\nPASS x\r\n")
    assert text.split(b"\r\n", 2)[2] == b"-ERR aack, the checker does not answer\r\n"
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    place.server.until(r"^tcpserver: end .* status 256")


def test_fault_055_who_was_let_in_may_be_silent(serve: Serve, hurried: list[str]) -> None:
    place = serve("checkpassword", popup=hurried)
    pop = place.login()
    time.sleep(2.5)
    assert pop.stat()[0] == 3


def test_the_words_of_a_client_are_in_no_log_and_no_list_of_processes(serve: Serve) -> None:
    place = serve("checkpassword")
    pop = place.login()
    shown = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert PASSWORD not in shown
    pop.quit()
    place.server.until("tcpserver: end")
    with pytest.raises(poplib.error_proto):
        place.login("another word")
    assert not any(word in place.server.log.read_text() for word in (SECRET, "another word"))
