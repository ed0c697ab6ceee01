"""AUTH in POP3: under TLS only, and the checker on descriptor 3 decides as it does for USER and PASS."""

from __future__ import annotations

import base64
import os
import poplib
import pwd
import subprocess
from pathlib import Path

import pytest

from conftest import BIN
from programs.test_qmail_tlsd import ME, PATIENCE, dialogue, place, start, tls
from securing import Tls, trusting_nobody
from serving import Server, Start

__all__ = ["place", "start", "tls"]  # fixtures

JOE = base64.b64encode(b"\0joe\0a Secret")
WAYS = ("STLS", "tlswrap")


def serve(start: Start, place: Path, *before: str) -> Server:
    """qmail-popup with checkpwfile; joe has a message."""
    account = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    maildir = place.parent / "joe/Maildir"
    for name in ("new", "cur", "tmp"):
        (maildir / name).mkdir(parents=True)
    (maildir / "new/1").write_text("Subject: one\n\nhello\n")
    os.utime(maildir / "new/1", (1, 1))
    if os.geteuid() == 0:
        user = pwd.getpwnam(account)
        for path in (maildir.parent, maildir, *maildir.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)
    env = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(place)}
    command = [BIN / "qmail-password", "-a", account, "-d", maildir.parent, "joe"]
    subprocess.run(command, input=b"a Secret\n", env=env, check=True, capture_output=True)
    words = [*before, str(BIN / "qmail-popup"), ME, str(BIN / "checkpwfile"), str(BIN / "qmail-pop3d"), "Maildir"]
    return start("-v", program=words, env=env)


def client(server: Server, way: str) -> poplib.POP3:
    if way == "tlswrap":
        return poplib.POP3_SSL("127.0.0.1", server.port, context=trusting_nobody(), timeout=PATIENCE)
    talk = poplib.POP3("127.0.0.1", server.port, timeout=PATIENCE)
    talk.stls(context=trusting_nobody())
    return talk


def say(talk: poplib.POP3, line: str) -> bytes:
    """What is answered, a refusal too. poplib's own words for a command and its answer, without its judgement."""
    talk._putcmd(line)  # type: ignore[attr-defined]
    answer: bytes = talk._getline()[0]  # type: ignore[attr-defined]
    return answer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("words", [["AUTH PLAIN " + JOE.decode()], ["auth plain", JOE.decode()]])
def test_who_says_the_password_is_let_in(place: Path, tls: Tls, start: Start, way: str, words: list[str]) -> None:
    server = serve(start, place, *([str(BIN / "tlswrap")] if way == "tlswrap" else []))
    talk = client(server, way)
    assert talk.capa()["SASL"] == ["PLAIN"]
    answers = [say(talk, word) for word in words]
    assert answers == [b"+ ", b"+OK "][-len(words) :]
    assert talk.stat() == (1, 20)
    talk.quit()


@pytest.mark.parametrize("way", WAYS)
def test_nonsense_is_refused_and_the_right_words_count_all_the_same(
    place: Path, tls: Tls, start: Start, way: str
) -> None:
    server = serve(start, place, *([str(BIN / "tlswrap")] if way == "tlswrap" else []))
    talk = client(server, way)
    for line, answer in (
        ("AUTH", b"-ERR PLAIN is the only mechanism here"),
        ("AUTH SCRAM-SHA-256 biws", b"-ERR PLAIN is the only mechanism here"),
        ("AUTH PLAIN !", b"-ERR this is not what PLAIN looks like"),
        ("AUTH PLAIN =", b"-ERR this is not what PLAIN looks like"),
        ("AUTH PLAIN " + base64.b64encode(b"ann\0joe\0a Secret").decode(), b"-ERR authorization failed"),
        ("AUTH PLAIN", b"+ "),
        ("*", b"-ERR cancelled"),
        ("AUTH PLAIN", b"+ "),
        ("x" * 10000, b"-ERR this is not what PLAIN looks like"),
        ("NOOP", b"+OK "),
        ("AUTH PLAIN " + JOE.decode(), b"+OK "),
    ):
        assert say(talk, line) == answer, line
    assert talk.stat()[0] == 1
    talk.quit()


def test_a_wrong_password_is_the_end(place: Path, tls: Tls, start: Start) -> None:
    talk = client(serve(start, place), "STLS")
    assert say(talk, "AUTH PLAIN " + base64.b64encode(b"\0joe\0a secret").decode()) == b"-ERR authorization failed"
    with pytest.raises(poplib.error_proto):
        say(talk, "NOOP")
    talk.close()


def test_fault_049_a_password_is_not_asked_for_in_the_clear(place: Path, tls: Tls, start: Start) -> None:
    said = dialogue(serve(start, place), b"CAPA\r\n", b"AUTH PLAIN " + JOE + b"\r\n", b"QUIT\r\n")
    assert b"STLS\r\n" in said and b"SASL" not in said
    assert b"-ERR authorization first\r\n" in said


@pytest.mark.parametrize("scheme", ["pop3s", "pop3"])
def test_curl_logs_in_by_sasl(place: Path, tls: Tls, start: Start, scheme: str) -> None:
    server = serve(start, place, *([str(BIN / "tlswrap")] if scheme == "pop3s" else []))
    done = subprocess.run(
        ["curl", "-vsSk", "--ssl-reqd", f"{scheme}://127.0.0.1:{server.port}/1", "-u", "joe:a Secret",
         "--login-options", "AUTH=PLAIN"],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith(b"Subject: one\r\n\r\nhello\r\n"), done.stderr
    assert b"> AUTH PLAIN" in done.stderr
