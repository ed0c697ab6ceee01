"""sendmail and its other names, datemail, mailsubj, predate; and the mailers people use over them."""

from __future__ import annotations

import shutil
import smtplib
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BIN, Run
from keeping import Keeper

USAGE = b"sendmail: usage: sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]\n"


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


@pytest.fixture
def environment(home: Path, keeper: Keeper) -> dict[str, str]:
    (home / "control/me").write_text("host.example.org\n")
    return {"QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), "USER": "joe", "HOME": str(home), "TZ": "EST5"}


Mail = Callable[..., "tuple[int, bytes]"]


@pytest.fixture
def mail(program: Run, environment: dict[str, str]) -> Mail:
    def run(*argv: str, text: bytes = b"To: h\nSubject: x\n\nbody\n") -> tuple[int, bytes]:
        done = program(*argv, stdin=text, env=environment)
        return done.returncode, done.stderr

    return run


def test_what_the_sender_wants_to_hear_goes_behind_the_envelope(mail: Mail, keeper: Keeper) -> None:
    # As mutt gives them.
    assert mail("sendmail", "-oem", "-oi", "-N", "success,delay", "-Rhdrs", "-V", "Q+2B1", "a", "b") == (0, b"")
    ((_, envelope),) = keeper.kept
    asked = b"mail HDRS Q+2B1 =\0rcpt SUCCESS,DELAY = a@host.example.org\0rcpt SUCCESS,DELAY = b@host.example.org\0"
    assert envelope.endswith(b"Tb@host.example.org\0\0+parameters\0" + asked + b"\0")


@pytest.mark.parametrize(("option", "name"), [("-Nsometimes", b"NOTIFY"), ("-Rbody", b"RET"), ("-Va b", b"ENVID")])
def test_what_makes_no_sense_of_it_is_said(mail: Mail, keeper: Keeper, option: str, name: bytes) -> None:
    assert mail("sendmail", option, "a") == (100, b"qmail-inject: fatal: QMAIL" + name + b" cannot be read\n")
    assert keeper.kept == []


@pytest.mark.parametrize(
    ("options", "sender", "recipients", "author"),
    [
        ([], "joe", [], b"joe"),
        (["a", "b"], "joe", ["a", "b"], b"joe"),
        (["-t"], "joe", ["h"], b"joe"),
        (["-t", "a"], "joe", ["a", "h"], b"joe"),
        (["-f", "sue", "a"], "sue", ["a"], b"sue"),
        (["-i", "-oem", "-oi", "-B8BITMIME", "-FCronDaemon", "joe"], "joe", ["joe"], b'"CronDaemon" <joe'),
        (["-om", "-v", "-m", "-ee", "-pX", "-bm", "--", "-a"], "joe", ["-a"], b"joe"),
    ],
)
def test_options_become_those_of_qmail_inject(
    mail: Mail, keeper: Keeper, options: list[str], sender: str, recipients: list[str], author: bytes
) -> None:
    assert mail("sendmail", *options) == (0, b"")
    ((message, envelope),) = keeper.kept
    expected = f"F{sender}@host.example.org\0" + "".join(f"T{one}@host.example.org\0" for one in recipients) + "\0"
    assert envelope == expected.encode()
    assert b"\nFrom: " + author + b"@host.example.org" in message


@pytest.mark.parametrize(
    "options",
    [
        ["-odi", "-oem", "-oi", "-G", "-U", "-n", "-v", "-x"],
        ["-O", "DeliveryMode=b", "-Ac", "-L", "tag", "-h", "3", "-C", "/etc/mail/sendmail.cf", "-X", "/dev/null"],
        ["-d8.7", "-d", "-em", "-ed"],
    ],
)
def test_what_means_nothing_here_is_allowed(mail: Mail, keeper: Keeper, options: list[str]) -> None:
    assert mail("sendmail", *options, "-rsue@x.example", "--", "a") == (0, b"")
    assert [envelope for _, envelope in keeper.kept] == [b"Fsue@x.example\0Ta@host.example.org\0\0"]


@pytest.mark.parametrize(
    ("sender", "envelope", "author"),
    [
        ("", b"", b"joe@host.example.org"),
        ("<>", b"", b"joe@host.example.org"),
        ("<sue@x.example>", b"sue@x.example", b"sue@x.example"),
        ("Sue <sue>", b"sue@host.example.org", b"sue@host.example.org"),
    ],
)
def test_a_sender_may_stand_in_brackets(
    mail: Mail, keeper: Keeper, sender: str, envelope: bytes, author: bytes
) -> None:
    assert mail("sendmail", "-f", sender, "a") == (0, b"")
    ((message, sent),) = keeper.kept
    assert sent == b"F" + envelope + b"\0Ta@host.example.org\0\0"
    assert b"\nFrom: " + author + b"\n" in message


@pytest.mark.parametrize(
    "options", [["-f", "sue@b.example"], ["-fsue@b.example", "-FSue"], ["-FSue", "-fsue@b.example"]]
)
def test_the_sender_given_is_the_author_and_has_no_name(
    program: Run, environment: dict[str, str], keeper: Keeper, options: list[str]
) -> None:
    others = {"NAME": "n", "MAILNAME": "mn", "QMAILNAME": "qn", "QMAILHOST": "q.example", "MAILHOST": "m.example"}
    assert program("sendmail", *options, "r@b.example", stdin=b"\n", env=environment | others).returncode == 0
    ((message, envelope),) = keeper.kept
    assert b"\nFrom: sue@b.example\n" in message
    assert envelope == b"Fsue@b.example\0Tr@b.example\0\0"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-bp", "-bm"], (0, b"")),
        (["-bx", "-q"], (100, USAGE)),
        (["-bx", "-z"], (100, USAGE)),
        (["-bp", "-z"], (0, b"")),
        (["-z", "-bp"], (100, b"sendmail: illegal option -- z\n" + USAGE)),
    ],
)
def test_options_behind_another_task_do_not_count(mail: Mail, options: list[str], said: tuple[int, bytes]) -> None:
    assert mail("sendmail", *options) == said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-bd"], b""),
        (["-bd", "-q30m"], b""),
        (["-q1h", "-bD"], b"illegal option -- q"),
        (["-q"], b"illegal option -- q"),
        (["-bt"], b""),
        (["-bv", "joe"], b""),
        (["-Z"], b"illegal option -- Z"),
        (["-f"], b"option requires an argument -- f"),
    ],
)
def test_what_only_a_daemon_could_do_is_refused(mail: Mail, options: list[str], words: bytes) -> None:
    assert mail("sendmail", *options) == (100, (words and b"sendmail: " + words + b"\n") + USAGE)


def test_smtp_and_the_queue_are_other_programs(home: Path, program: Run, environment: dict[str, str]) -> None:
    (home / "bin").unlink()
    (home / "bin").mkdir()
    for name in ("qmail-smtpd", "qmail-qread", "qmail-inject", "newaliases"):
        (home / "bin" / name).write_text('#!/bin/sh\necho "$0" "$@"; env | grep "^[TDRP]" | sort\n')
        (home / "bin" / name).chmod(0o755)
    smtp = program("sendmail", "-bs", env=environment).stdout.decode().split("\n")
    assert smtp[0] == f"{home}/bin/qmail-smtpd"
    assert {"RELAYCLIENT=", "TCPREMOTEIP=127.0.0.1", "DATABYTES=0", "TCPREMOTEINFO=sendmail-bs"} < set(smtp)
    for queue in (["sendmail", "-bp"], ["mailq"]):
        assert program(*queue, env=environment).stdout.startswith(f"{home}/bin/qmail-qread\n".encode())
    for aliases in (["sendmail", "-bi"], ["sendmail", "-I"]):
        assert program(*aliases, env=environment).stdout.startswith(f"{home}/bin/newaliases\n".encode())
    for name, other in (("mailq", "qmail-qread"), ("newaliases", "newaliases")):  # as a distribution links them
        (home / name).symlink_to(BIN / "sendmail")
        (home / "alias/.qmail-default").write_text("| fastforward -d /etc/aliases.cdb\n")
        assert program(str(home / name), env=environment).stdout.startswith(f"{home}/bin/{other}\n".encode())
    # One that is not ours is run as a program, and sees no variable that we have made up.
    replaced = program("sendmail", "-t", env=environment).stdout
    assert replaced.startswith(f"{home}/bin/qmail-inject -H --\n".encode())


def test_datemail_puts_the_local_time_in_front(mail: Mail, keeper: Keeper) -> None:
    assert mail("datemail", "-t") == (0, b"")
    ((message, _),) = keeper.kept
    assert b" -0500\nTo: h@host.example.org\n" in message
    assert message.count(b"Date:") == 1


def test_mailsubj_sends_under_a_subject(mail: Mail, keeper: Keeper) -> None:
    assert mail("mailsubj", "a\nb", "x", "y@z", text=b"body") == (0, b"")
    ((message, envelope),) = keeper.kept
    assert message.endswith(b"\nSubject: a b\nTo: x@host.example.org, y@z.host.example.org\n\nbody\n")
    assert envelope.count(b"T") == 2
    assert mail("mailsubj")[0] == 100


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["sh", "-c", "cat >/dev/null; exit 7"], 7, b""),
        (["true"], 0, b""),
        (["sh", "-c", "kill -9 $$"], 111, b"predate: fatal: child crashed\n"),
        (["/nonexistent"], 111, b"predate: fatal: unable to run /nonexistent: file does not exist\n"),
        ([], 100, b"predate: usage: predate child\n"),
    ],
)
def test_predate_exits_as_its_program(mail: Mail, command: list[str], code: int, words: bytes) -> None:
    assert mail("predate", *command, text=b"x" * 200_000) == (code, words)


def test_a_message_is_in_the_queue_when_sendmail_ends(
    home: Path, queued: subprocess.Popen[bytes], program: Run, environment: dict[str, str]
) -> None:
    del environment["QMAILQUEUE"]
    done = program("sendmail", "-t", stdin=b"To: a@b.example\n\nhello", env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (entry,) = (home / "queue/todo").iterdir()
    assert entry.read_bytes().endswith(b"\0Fjoe@host.example.org\0Ta@b.example\0")
    (message,) = (path for path in (home / "queue/mess").rglob("*") if path.is_file())
    assert message.read_bytes().endswith(b"\nTo: a@b.example\n\nhello\n")


def test_without_a_queue_nothing_is_lost(program: Run, environment: dict[str, str]) -> None:
    del environment["QMAILQUEUE"]
    done = program("sendmail", "-t", stdin=b"To: a@b.example\n\nhello", env=environment)
    assert done.returncode == 111
    assert done.stderr.startswith(b"qmail-inject: fatal: qq trouble making network connection")


def test_smtp_over_a_pipe_relays_for_its_user(home: Path, environment: dict[str, str], keeper: Keeper) -> None:
    ours, theirs = socket.socketpair()
    env = {"PATH": f"{BIN}:/usr/bin:/bin", **environment}
    with subprocess.Popen([BIN / "sendmail", "-bs"], stdin=theirs, stdout=theirs, env=env) as process:
        theirs.close()
        ours.settimeout(20)
        client = smtplib.SMTP(local_hostname="localhost")
        client.sock = ours
        assert client.getreply()[0] == 220
        client.sendmail("me@b.example", ["ann@far.example"], "Subject: x\r\n\r\nhello\r\n")
        client.quit()
        assert process.wait(20) == 0
    ((message, envelope),) = keeper.kept
    assert envelope == b"Fme@b.example\0Tann@far.example\0\0"
    assert message.startswith(b"Received: from localhost (sendmail-bs@127.0.0.1)\n")


@pytest.mark.skipif(not shutil.which("s-nail"), reason="needs s-nail")
def test_mail_of_s_nail_arrives(environment: dict[str, str], keeper: Keeper, tmp_path: Path) -> None:
    command = ["s-nail", "-n", "-S", f"mta={BIN}/sendmail", "-S", "ttycharset=utf-8", "-s", "gr\xfc\xdfe"]
    command += ["-c", "c@d.example", "ann@b.example"]
    done = subprocess.run(command, input=b"hello\n", env={"PATH": "/usr/bin:/bin", **environment}, timeout=60)
    assert done.returncode == 0
    ((message, envelope),) = keeper.kept
    assert b"Tann@b.example\0" in envelope
    assert b"Tc@d.example\0" in envelope
    assert message.endswith(b"\nhello\n")


@pytest.mark.skipif(not shutil.which("mutt"), reason="needs mutt")
def test_mail_of_mutt_arrives(environment: dict[str, str], keeper: Keeper, tmp_path: Path) -> None:
    settings = [f'set sendmail="{BIN}/sendmail -oem -oi"', "set use_envelope_from=yes", 'set from="me@b.example"']
    (tmp_path / "muttrc").write_text("\n".join([*settings, "unset record", "unset signature", ""]))
    command = ["mutt", "-n", "-F", str(tmp_path / "muttrc"), "-s", "x", "ann@b.example", "-b", "bob@b.example"]
    env = {"PATH": "/usr/bin:/bin", "TERM": "dumb", **environment}
    done = subprocess.run(command, input=b"hello\n", env=env, timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr
    ((message, envelope),) = keeper.kept
    assert sorted(envelope.split(b"\0")) == [b"", b"", b"Fme@b.example", b"Tann@b.example", b"Tbob@b.example"]
    assert b"Bcc" not in message


GIT = Path("/usr/lib/git-core/git-send-email")


@pytest.mark.skipif(not GIT.exists(), reason="needs git-email")
def test_patches_of_git_arrive(environment: dict[str, str], keeper: Keeper, tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", **environment, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "J", f"GIT_{who}_EMAIL": "j@b.example"}
    (tmp_path / "patch").write_text("From 0 Mon Sep 17 00:00:00 2001\nFrom: J <j@b.example>\nSubject: p\n\n---\n")
    command = ["git", "send-email", f"--sendmail-cmd={BIN}/sendmail -i", "--quiet", "--confirm=never"]
    command += ["--from=j@b.example", "--to=ann@b.example", "patch"]
    subprocess.run(["git", "init", "-q"], env=env, cwd=tmp_path, timeout=60, check=True)
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Tann@b.example\0" in keeper.kept[0][1]
