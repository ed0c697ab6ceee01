"""serialmail: Maildirs sent on, to servers that say what a test wants and to real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BIN, needs_root
from keeping import Keeper

MESSAGES = {
    "10000": b"Return-Path: <Sender>\nDelivered-To: Account-Whatever\nThis is a test.\n",
    "20000": b"Return-Path: <>\nDelivered-To: Account-You@Virt.Dom\nThis is a test.\n",
    "30000": b"Return-Path: <needs quoting!@the..host>\nDelivered-To: Account-more..quoting@Virt.Dom\n"
    b". one\n.. two\nend",
}
Run = Callable[..., "tuple[int, bytes, bytes]"]


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    place = tmp_path / "dir"
    for name in ("new", "cur", "tmp"):
        (place / name).mkdir(parents=True)
    for at, (name, text) in enumerate(MESSAGES.items()):
        put(place, f"new/{name}", text, 300 - at)
    return place


def put(place: Path, name: str, text: bytes, ago: float) -> None:
    (place / name).write_bytes(text)
    os.utime(place / name, (time.time() - ago,) * 2)


def left(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.glob("[nc]*/*"))


def talk(*words: str, names: bytes, said: bytes | None, cwd: Path, **environ: str) -> tuple[int, bytes, bytes, bytes]:
    """A client with this to read on descriptor 6: exit code, reports, words, and what it wrote to 7."""
    (cwd / "heard").write_bytes(said or b"")
    script = 'exec "$@" 7>told ' + ("6<heard" if said is not None else "6<&-")
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], input=names, capture_output=True, cwd=cwd, timeout=60,
        env={"PATH": f"{BIN}:/usr/bin:/bin", **environ},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr, (cwd / "told").read_bytes()


ONE, TWO, THREE = b"new/10000\0", b"new/20000\0", b"new/30000\0"
FIRST = b"17:\nThis is a test.\n,6:Sender,11:8:Whatever,,"
SECOND = b"17:\nThis is a test.\n,0:,16:12:You@Virt.Dom,,"
LOST = b"serialqmtp: fatal: network read error: end of file\n"


@pytest.mark.parametrize(
    ("prefix", "names", "said", "code", "reports", "words", "told"),
    [
        ("Wrong-", ONE, b"", 0, b"", b"", b""),
        ("Account-", b"new/1\0" + ONE, b"7:Kthanks,", 0, ONE + b"Kthanks\n",
         b"serialqmtp: warning: unable to open new/1: file does not exist\n", FIRST),
        ("Account-", ONE, b"", 111, b"", LOST, FIRST),
        ("Account-", ONE, None, 111, b"", b"serialqmtp: fatal: network error: file descriptor not open\n", None),
        ("Account-", ONE, b"7:Kth\0n\ns,", 0, ONE + b"Kth?n?s\n", b"", FIRST),
        ("Account-", ONE, b"18:Ztemporary failure,", 0, ONE + b"Ztemporary failure\n", b"", FIRST),
        ("Account-", ONE, b"18:Dpermanent failure,", 0, ONE + b"Dpermanent failure\n", b"", FIRST),
        ("Account-", ONE + TWO, b"7:Kthanks,13:Kthanks again,", 0, ONE + b"Kthanks\n" + TWO + b"Kthanks again\n", b"",
         FIRST + SECOND),
        ("Account-", ONE + TWO, b"7:Kthanks,", 111, ONE + b"Kthanks\n", LOST, FIRST + SECOND),
        ("", b"", b"", 0, b"", b"", b""),
        ("Account-", THREE, b"2:Kx,", 0, THREE + b"Kx\n", b"",
         b"17:\n. one\n.. two\nend,24:needs quoting!@the..host,26:22:more..quoting@Virt.Dom,,"),
        *(("Account-", ONE, said, 111, b"", b"serialqmtp: fatal: remote protocol violation\n", FIRST)
          for said in (b"220 hello\r\n", b"-1:K,", b":K,", b"1:X,", b"2:Kx;", b"0:,", b"999999999999:K", b"99999:K")),
        ("Account-", ONE, b"2:Kx,2:Ky,", 0, ONE + b"Kx\n", b"", FIRST),
    ],
)  # fmt: skip
def test_qmtp_is_spoken_and_each_answer_told(
    maildir: Path, prefix: str, names: bytes, said: bytes | None, code: int, reports: bytes, words: bytes, told: bytes
) -> None:
    done = talk("serialqmtp", prefix, names=names, said=said, cwd=maildir)
    if told is None:
        done = (*done[:3], None)  # type: ignore[assignment]  # the connection was never there
    assert done == (code, reports, words, told)


def test_the_server_that_answers_is_named(maildir: Path) -> None:
    done = talk("serialqmtp", "Account-", names=ONE, said=b"7:Kthanks,", cwd=maildir, TCPREMOTEIP="192.0.2.4")
    assert done[1] == ONE + b"K192.0.2.4 said: thanks\n"
    smtp = b"220 hi\n250 ok\n250 ok\n250 ok\n354 go\n250 thanks\n"
    done = talk("serialsmtp", "Account-", "Host", names=ONE, said=smtp, cwd=maildir, TCPREMOTEIP="192.0.2.4")
    assert done[1] == ONE + b"K192.0.2.4 said: 250 thanks\n"


HI = b"220 Hi\n250-Silly\n250 PipeLining\n"
TAKEN = b"250 ok\n250 ok\n354 go ahead\n250 thanks\n"
ENVELOPE = b"MAIL FROM:<Sender>\r\nRCPT TO:<Whatever>\r\nDATA\r\n"
TEXT = b"This is a test.\r\n.\r\n"
MORE = b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<You@Virt.Dom>\r\nDATA\r\n"
VIOLATION = b"serialsmtp: fatal: protocol violation\n"
OK = ONE + b"K250 thanks\n"
PARTIAL = b"DSMTP cannot transfer messages with partial final lines\n"


@pytest.mark.parametrize(
    ("names", "said", "code", "reports", "words", "told"),
    [
        (b"", b"220 Hi\n250 ok\n", 0, b"", b"", b"EHLO Host\r\nQUIT\r\n"),
        (b"new/1\0", b"220 Hi\n250 ok\n", 0, b"", b"serialsmtp: warning: unable to open new/1: file does not exist\n",
         b"EHLO Host\r\nQUIT\r\n"),
        (ONE, HI + TAKEN, 0, OK, b"", b"EHLO Host\r\n" + ENVELOPE + TEXT + b"QUIT\r\n"),
        (ONE, HI + b"250-mail\n250 mail end\n250-rcpt\n250 rcpt end\n354-data\n354 data end\n250-mess\n250 th\0nks\n",
         0, ONE + b"K250 th?nks\n", b"", b"EHLO Host\r\n" + ENVELOPE + TEXT + b"QUIT\r\n"),
        (ONE, HI + TAKEN.replace(b"250 thanks", b"451 not now"), 0, ONE + b"Z451 not now\n", b"",
         b"EHLO Host\r\n" + ENVELOPE + TEXT + b"QUIT\r\n"),
        (ONE, HI + TAKEN.replace(b"250 thanks", b"553 never"), 0, ONE + b"D553 never\n", b"",
         b"EHLO Host\r\n" + ENVELOPE + TEXT + b"QUIT\r\n"),
        (ONE + TWO, HI + TAKEN + b"250 ok\n" + TAKEN, 0, OK + TWO + b"K250 thanks\n", b"",
         b"EHLO Host\r\n" + ENVELOPE + TEXT + MORE + TEXT + b"QUIT\r\n"),
        (ONE + TWO, HI + TAKEN, 111, OK, b"serialsmtp: fatal: network read error: end of file\n",
         b"EHLO Host\r\n" + ENVELOPE + TEXT + MORE),
        (ONE, HI + b"451 bad\n503 wrong\n503 wrong\n", 0, ONE + b"Z451 bad\n", b"",
         b"EHLO Host\r\n" + ENVELOPE + b"QUIT\r\n"),
        (ONE, HI + b"451 bad\n250 ok\n", 111, ONE + b"Z451 bad\n", VIOLATION, b"EHLO Host\r\n" + ENVELOPE),
        (ONE, HI + b"250 ok\n550 bad\n503 wrong\n", 0, ONE + b"D550 bad\n", b"",
         b"EHLO Host\r\n" + ENVELOPE + b"QUIT\r\n"),
        # RFC 2920 3.1: a server that waits for a message although it took no recipient is told that there is none.
        (ONE + TWO, HI + b"250 ok\n550 bad\n354 go\n554 none\n250 ok\n" + TAKEN, 0,
         ONE + b"D550 bad\n" + TWO + b"K250 thanks\n", b"",
         b"EHLO Host\r\n" + ENVELOPE + b".\r\n" + MORE + TEXT + b"QUIT\r\n"),
        # Without PIPELINING.
        (ONE + TWO, b"220 Hi\n250 ok\n250 ok\n450 later\n250 reset\n" + TAKEN, 0,
         ONE + b"Z450 later\n" + TWO + b"K250 thanks\n", b"",
         b"EHLO Host\r\nMAIL FROM:<Sender>\r\nRCPT TO:<Whatever>\r\n" + MORE + TEXT + b"QUIT\r\n"),
        (ONE, b"220 Hi\n500 what\n250 ok\n" + TAKEN, 0, OK, b"",
         b"EHLO Host\r\nHELO Host\r\n" + ENVELOPE + TEXT + b"QUIT\r\n"),
        (ONE, b"554 go away\n", 111, b"", b"serialsmtp: fatal: connected but greeting failed\n", b"QUIT\r\n"),
        (ONE, b"220 Hi\n500 what\n501 who\n", 111, b"", b"serialsmtp: fatal: connected but my name was rejected\n",
         b"EHLO Host\r\nHELO Host\r\nQUIT\r\n"),
        (ONE, b"22\n", 111, b"", VIOLATION, b""),
        # A line without its end cannot be sent, and holds up nobody.
        (THREE + ONE, HI + TAKEN, 0, THREE + PARTIAL + OK, b"",
         b"EHLO Host\r\n" + ENVELOPE + TEXT + b"QUIT\r\n"),
    ],
)  # fmt: skip
def test_smtp_is_spoken_and_each_answer_told(
    maildir: Path, names: bytes, said: bytes, code: int, reports: bytes, words: bytes, told: bytes
) -> None:
    assert talk("serialsmtp", "Account-", "Host", names=names, said=said, cwd=maildir) == (code, reports, words, told)


def test_addresses_are_quoted_and_lines_are_stuffed(maildir: Path) -> None:
    put(maildir, "new/30000", MESSAGES["30000"] + b"\rx\r\n.\r.\n", 100)
    done = talk("serialsmtp", "Account-", "Host", names=THREE, said=HI + TAKEN, cwd=maildir)
    assert done[:3] == (0, THREE + b"K250 thanks\n", b"")
    assert done[3] == (
        b'EHLO Host\r\nMAIL FROM:<"needs quoting!"@the..host>\r\nRCPT TO:<"more..quoting"@Virt.Dom>\r\nDATA\r\n'
        b".. one\r\n... two\r\nend\r\nx\r\n..\r\n..\r\n.\r\nQUIT\r\n"
    )


def test_a_large_message_arrives_as_it_is(maildir: Path) -> None:
    body = b"".join(b"%d\n.\n" % at for at in range(60_000))
    put(maildir, "new/10000", MESSAGES["10000"] + body, 100)
    done = talk("serialsmtp", "Account-", "Host", names=ONE, said=HI + TAKEN, cwd=maildir)
    assert done[1] == OK
    data = done[3].partition(b"DATA\r\n")[2].removesuffix(b".\r\nQUIT\r\n")
    assert data == b"This is a test.\r\n" + body.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("program", "usage"),
    [
        (["serialsmtp", "x"], b"serialsmtp: usage: serialsmtp prefix helohost\n"),
        (["serialqmtp"], b"serialqmtp: usage: serialqmtp prefix\n"),
        (["maildirsmtp", "a", "b", "c"], b"maildirsmtp: usage: maildirsmtp dir prefix host helohost\n"),
        (["maildirqmtp", "a", "b"], b"maildirqmtp: usage: maildirqmtp dir prefix host\n"),
        (["maildirserial", "a", "b"],
         b"maildirserial: usage: maildirserial [ -b ] [ -t lifetime ] dir prefix client [ arg ... ]\n"),
    ],
)  # fmt: skip
def test_each_says_how_it_is_used(maildir: Path, program: list[str], usage: bytes) -> None:
    assert talk(*program, names=b"", said=b"", cwd=maildir)[:3] == (100, b"", usage)


@pytest.fixture
def serial(maildir: Path, home: Path, keeper: Keeper) -> Run:
    """maildirserial with a client that is a script, run beside the Maildir."""
    (home / "control/me").write_text("h.example\n")

    def run(*words: str) -> tuple[int, bytes, bytes]:
        env = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path)}
        done = subprocess.run(
            ["maildirserial", *words], capture_output=True, cwd=maildir.parent, env=env, timeout=60,
            executable=BIN / "maildirserial",
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


GIVING_UP = b"maildirserial: fatal: making no progress, giving up\n"


def test_the_oldest_comes_first_and_names_end_in_nul(serial: Run, maildir: Path) -> None:
    put(maildir, "cur/5:2,S", MESSAGES["20000"], 1000)
    put(maildir, "new/other", b"Return-Path: <x>\nDelivered-To: Other-x\n\n", 2000)
    put(maildir, "new/none", b"Subject: no envelope\n\n", 2000)
    put(maildir, "tmp/left", b"", 200_000)
    code, _, words = serial("dir", "Account-", "sh", "-c", "cat >../names; exit 100")
    assert (code, words) == (100, b"")
    assert (maildir.parent / "names").read_bytes() == b"cur/5:2,S\0" + ONE + TWO + THREE
    assert not (maildir / "tmp/left").exists()
    serial("dir", "", "sh", "-c", "cat >../names; exit 100")
    assert (maildir.parent / "names").read_bytes().count(b"\0") == 6, "without a prefix all of them are sent"


@pytest.mark.parametrize("end", ["", "exit 111"])
def test_a_client_that_answers_for_nothing_is_run_three_times(serial: Run, maildir: Path, end: str) -> None:
    code, _, words = serial("dir", "Account-", "sh", "-c", f"cat >> ../names; {end}")
    assert (code, words) == (111, GIVING_UP)
    assert (maildir.parent / "names").read_bytes() == (ONE + TWO + THREE) * 3


ONCE = "cat >> ../names; [ -f ../again ] || printf '{}\\n' | tr x '\\0'; touch ../again"


@pytest.mark.parametrize(
    ("answer", "info", "removed"),
    [
        ("new/10000xKthanks", b"new/10000 succeeded: thanks", True),
        ("new/10000xZtoo early", b"new/10000 failed temporarily: too early", False),
        ("new/10000xDnever", b"new/10000 failed: never", False),
    ],
)
def test_what_is_answered_for_is_done(serial: Run, maildir: Path, answer: str, info: bytes, removed: bool) -> None:
    code, _, words = serial("dir", "Account-", "sh", "-c", ONCE.format(answer))
    assert (code, words) == (111, b"maildirserial: info: " + info + b"\n" + GIVING_UP)
    assert (maildir.parent / "names").read_bytes() == ONE + (TWO + THREE) * 1 + (TWO + THREE) * 3
    assert ("new/10000" not in left(maildir)) is removed


ALL = "tr '\\0' '\\n' | while read name; do printf '%s\\0%s\\n' \"$name\" '{}'; done"


def test_when_all_is_taken_nothing_is_left(serial: Run, maildir: Path) -> None:
    code, _, words = serial("dir", "Account-", "sh", "-c", ALL.format("Kok"))
    assert (code, words.count(b" succeeded: ok\n")) == (0, 3)
    assert left(maildir) == []
    assert serial("dir", "Account-", "sh", "-c", "echo wrong >&2") == (0, b"", b""), "nothing to do: no client"


def test_what_is_refused_is_left_and_said(serial: Run, maildir: Path, keeper: Keeper) -> None:
    code, _, words = serial("dir", "Account-", "sh", "-c", ALL.format("Dno"))
    assert (code, words.count(b" failed: no\n")) == (111, 3)
    assert len(left(maildir)) == 3
    assert keeper.kept == []


def test_what_a_client_says_of_other_names_does_not_count(serial: Run, maildir: Path) -> None:
    (maildir.parent / "precious").write_text("mine")
    put(maildir, "new/other", b"Return-Path: <x>\nDelivered-To: Other-x\n\n", 2000)
    lines = "../precious\\0Kok\\nnew/other\\0Kok\\nnew/10000\\0Kok\\nnew/10000\\0Dno\\n"
    code, _, words = serial("dir", "Account-", "sh", "-c", f"cat >/dev/null; printf '{lines}'")
    assert code == 111
    assert words.count(b"info") == 1
    assert (maildir.parent / "precious").exists()
    assert left(maildir) == ["new/20000", "new/30000", "new/other"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", b"maildirserial: fatal: client crashed\n"),
        ("cat >/dev/null; echo junk", None),
        ("cat >/dev/null; printf 'new/10000\\0Xjunk\\n'",
         b"maildirserial: fatal: unable to read from client: neither K nor"),
        ("yes | tr '\\n' x", b"maildirserial: fatal: unable to read from client: a report without an end\n"),
        ("exec /no/such/client 2>/dev/null", GIVING_UP),
    ],
)  # fmt: skip
def test_a_broken_client_loses_nothing(serial: Run, maildir: Path, script: str, words: bytes | None) -> None:
    code, _, said = serial("dir", "Account-", "sh", "-c", script)
    assert code == 111
    assert said.startswith(words or GIVING_UP)
    assert len(left(maildir)) == 3


SLOW = """
import sys, time
time.sleep(0.3)
for name in sys.stdin.buffer.read().split(b"\\0")[:-1]:
    sys.stdout.buffer.write(name + b"\\0Kok" + b"." * 60 + b"\\n")
"""


def test_many_messages_go_through_a_client_that_is_slow_to_read(serial: Run, maildir: Path) -> None:
    for at in range(1000):
        (maildir / f"new/{at}.{'x' * 40}").write_bytes(MESSAGES["10000"])
    code, _, words = serial("dir", "", sys.executable, "-IS", "-c", SLOW)
    assert (code, words.count(b" succeeded"), left(maildir)) == (0, 1003, [])


def test_a_directory_that_is_none_is_said_so(serial: Run) -> None:
    words = b"maildirserial: fatal: unable to chdir to nowhere: file does not exist\n"
    assert serial("nowhere", "x", "true") == (111, b"", words)


def test_the_refused_go_back_to_their_senders(serial: Run, maildir: Path, keeper: Keeper) -> None:
    put(maildir, "new/40000", b"Return-Path: <#@[]>\nDelivered-To: Account-x\n\ntriple\n", 10)
    put(maildir, "new/50000", b"Return-Path: <l-@h-@[]>\nDelivered-To: Account-x\n\nlist\n", 9)
    code, _, words = serial("-b", "dir", "Account-", "sh", "-c", ALL.format("D550 no such user"))
    assert (code, left(maildir)) == (0, [])
    assert words.count(b" bounced: 550 no such user\n") == 5
    assert words.count(b"maildirserial: info: returned new/") == 4
    assert words.count(b"discarding new/40000: triple bounce") == 1
    envelopes = [envelope for _, envelope in keeper.kept]
    assert envelopes == [
        b"F\0TSender\0\0", b"F#@[]\0Tpostmaster@h.example\0\0", b"F\0Tneeds quoting!@the..host\0\0", b"F\0Tl-@h\0\0",
    ]  # fmt: skip
    text = keeper.kept[0][0]
    assert b"Hi. This is the maildirserial program at h.example.\n" in text
    assert b"\n\n<Whatever>:\n550 no such user\n\n--- Below this line is a copy of the message.\n\n" in text
    assert text.endswith(b"Return-Path: <Sender>\nThis is a test.\n")
    assert b"too long" not in text


@pytest.mark.parametrize("letter", ["Z", "D"])
def test_what_is_too_old_is_refused_for_good(serial: Run, maildir: Path, keeper: Keeper, letter: str) -> None:
    put(maildir, "new/10000", MESSAGES["10000"], 5000)
    code, _, words = serial("-b", "-t", "4000", "dir", "Account-", "sh", "-c", ALL.format(letter + "450 later"))
    if letter == "D":
        assert (code, left(maildir)) == (0, [])
        assert [b"waited too long" in text for text, _ in keeper.kept] == [False] * 3
        return
    assert (code, left(maildir)) == (111, ["new/20000", "new/30000"])
    assert words.count(b" failed temporarily: 450 later") == 2
    assert [b"<Whatever>:\n450 later\nThe message has waited too long" in text for text, _ in keeper.kept] == [True]


def test_without_b_what_is_too_old_stays(serial: Run, maildir: Path, keeper: Keeper) -> None:
    code, _, words = serial("-t100", "dir", "Account-", "sh", "-c", ALL.format("Zlater"))
    assert (code, len(left(maildir)), words.count(b" failed: later")) == (111, 3, 3)
    assert keeper.kept == []


def test_what_cannot_be_returned_stays(serial: Run, maildir: Path, tmp_path: Path) -> None:
    (tmp_path / "keeper").write_text("#!/bin/sh\nexit 53\n")
    code, _, words = serial("-b", "dir", "Account-", "sh", "-c", ALL.format("Dno"))
    assert (code, len(left(maildir))) == (111, 3)
    assert words.count(b"warning: unable to bounce new/") == 3
    assert b"qq failed: qq write error or disk full (#4.3.0)\n" in words


def test_bounces_need_a_name(serial: Run, maildir: Path, home: Path) -> None:
    (home / "control/me").unlink()
    (home / "control/me").mkdir()
    code, _, words = serial("-b", "dir", "Account-", "sh", "-c", ALL.format("Dno"))
    assert (code, len(left(maildir))) == (111, 3)
    assert b"unable to read" in words


def alone(place: Path, server: str, port: int, client: str, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """A server and a client in a network of their own, where every port is free."""
    script = (
        f'cd "$1"; ip link set lo up; {server} & pid=$!; i=0\n'
        f"until ss -Hltn | grep -q ':{port} '; do i=$((i+1)); [ $i -lt 300 ] || exit 98; sleep 0.05; done\n"
        f"{client}; code=$?; kill $pid; wait $pid; exit $code\n"
    )
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", str(place)], capture_output=True, timeout=60, env=env
    )


@needs_root
def test_maildirsmtp_empties_a_maildir_into_a_real_server(maildir: Path, home: Path, keeper: Keeper) -> None:
    (home / "control/me").write_text("h.example\n")
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path)}
    place = maildir.parent
    (place / "sink").mkdir()
    (place / "sink").chmod(0o777)
    server = "smtp-sink -u nobody -D sink/mail. 127.0.0.1:25 10"
    done = alone(place, server, 25, f"{BIN}/maildirsmtp dir Account- 127.0.0.1 me.example.org", env)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert left(maildir) == []
    sunk = b"".join(path.read_bytes() for path in (place / "sink").iterdir())
    assert sunk.count(b"This is a test.") == 2
    assert b"X-Helo-Args: me.example.org" in sunk
    assert b"X-Rcpt-Args: <You@Virt.Dom>" in sunk
    assert [envelope for _, envelope in keeper.kept] == [b"F\0Tneeds quoting!@the..host\0\0"], (
        "its last line had no end"
    )


@needs_root
def test_maildirqmtp_empties_a_maildir_into_a_real_server(maildir: Path, home: Path, keeper: Keeper) -> None:
    (home / "control/me").write_text("h.example\n")
    (home / "control/rcpthosts").write_text("virt.dom\n")
    env = {"PATH": f"{BIN}:/usr/bin:/sbin:/bin", "QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path)}
    server = "tcpserver -HRl0 127.0.0.1 209 qmail-qmtpd"
    done = alone(maildir.parent, server, 209, f"{BIN}/maildirqmtp dir Account- 127.0.0.1", env)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert left(maildir) == []
    assert [envelope for _, envelope in keeper.kept] == [
        b"FSender\0TWhatever\0\0", b"F\0TYou@Virt.Dom\0\0", b"Fneeds quoting!@the..host\0Tmore..quoting@Virt.Dom\0\0",
    ]  # fmt: skip


@needs_root
def test_a_host_that_is_not_there_changes_nothing(maildir: Path, home: Path) -> None:
    (home / "control/me").write_text("h.example\n")
    for name in MESSAGES:
        os.utime(maildir / "new" / name, (0, 0))
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "QMAIL_HOME": str(home)}
    other = "tcpserver -HRl0 127.0.0.1 26 true".replace("tcpserver", f"{BIN}/tcpserver")
    done = alone(maildir.parent, other, 26, f"{BIN}/maildirsmtp dir Account- 127.0.0.1 me", env)
    assert done.returncode == 111
    assert done.stderr.endswith(GIVING_UP)
    assert len(left(maildir)) == 3
