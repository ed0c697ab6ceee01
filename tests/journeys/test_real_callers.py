"""Programs that know only /usr/sbin/sendmail send through ours, as they come."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import needs_root
from journeys.conftest import Host, User
from journeys.inplace import inside, logged_in


def needs(program: str) -> pytest.MarkDecorator:
    """A skip that says what to install."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/lib/git-core")
    return pytest.mark.skipif(path is None, reason=f"needs {program} (see .ci/run for the Debian packages)")


def run(host: Host, user: User, *argv: str, text: bytes = b"hello\n") -> None:
    """One command of the user's, where our sendmail is the machine's."""
    done = subprocess.run(
        [*inside(host), *logged_in(user), *argv], input=text, cwd=user.home, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr + done.stdout


@needs_root
@needs("mutt")
def test_mutt_asks_for_a_receipt_and_attaches_a_file(host: Host) -> None:
    joe, ann, bob = host.user("joe"), host.user("ann"), host.user("bob")
    joe.file(
        ".muttrc",
        'set from="joe@here.example"\nset use_envelope_from=yes\nset dsn_notify="failure,delay"\nset dsn_return=hdrs\n'
        "unset record\n",
    )
    joe.file("data", "\xe4\n" * 10)
    host.start()
    run(host, joe, "mutt", "-s", "by mutt", "-b", "bob@here.example", "-a", "data", "--", "ann@here.example")
    (message,), (copy,) = ann.wait_for_mail(), bob.wait_for_mail()
    assert message.startswith(b"Return-Path: <joe@here.example>\n")
    assert b"\nSubject: by mutt\n" in message and b"multipart/mixed" in message
    assert b"\nFrom: Joe Example <joe@here.example>\n" in message
    assert b"bob" not in message and copy.partition(b"\nSubject")[2] == message.partition(b"\nSubject")[2]
    assert f"invoked by uid {joe.uid}".encode() in message


@needs_root
@needs("s-nail")
def test_s_nail_sends_to_several_people(host: Host) -> None:
    joe, ann, bob = host.user("joe"), host.user("ann"), host.user("bob")
    host.start()
    run(host, joe, "s-nail", "-n", "-s", "by s-nail", "-c", "bob", "-r", "joe@here.example", "ann@here.example")
    for user in (ann, bob):
        (message,) = user.wait_for_mail()
        assert message.startswith(b"Return-Path: <joe@here.example>\n")
        assert b"\nSubject: by s-nail\n" in message and message.endswith(b"\n\nhello\n")


@contextmanager
def running(argv: list[str]) -> Iterator[None]:
    """A daemon in namespaces of its own, all of which ends with it."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)


CRON = """mount -t tmpfs -o mode=755 none /run
mount --bind {place}/empty /etc/crontab
mount --bind {place}/system /etc/cron.d
cp {place}/crontab /var/spool/cron/crontabs/joe
chown joe:crontab /var/spool/cron/crontabs/joe; chmod 600 /var/spool/cron/crontabs/joe
chmod 1730 /var/spool/cron/crontabs; chgrp crontab /var/spool/cron/crontabs
"""


@needs_root
@needs("cron")
def test_cron_mails_what_its_jobs_say(host: Host, tmp_path: Path) -> None:
    joe, ann = host.user("joe"), host.user("ann")
    host.alias("root", "&ann@here.example\n")
    host.start()
    place = tmp_path / "cron"
    (place / "system").mkdir(parents=True)
    (place / "empty").write_text("")
    (place / "system/job").write_text("@reboot root echo system\n")
    (place / "crontab").write_text("@reboot echo hello; echo trouble >&2\nMAILTO=ann\n@reboot echo to ann\n")
    alone = ["--pid", "--fork", "--kill-child", "--mount-proc"]
    with running([*inside(host, *alone, more=CRON.format(place=place)), "cron", "-f"]):
        (mine,) = joe.wait_for_mail()
        others = ann.wait_for_mail(2)
    assert b"\nSubject: Cron <joe@" in mine and b" echo hello; echo trouble >&2\n" in mine
    assert b"\nTo: joe@here.example\n" in mine and mine.endswith(b"\n\nhello\ntrouble\n")
    assert f"invoked by uid {joe.uid}".encode() in mine
    assert mine.startswith(b"Return-Path: <joe@here.example>\n")
    assert sorted(message.rpartition(b"\n\n")[2] for message in others) == [b"system\n", b"to ann\n"]
    assert b"Cron Daemon" in mine


@needs_root
@needs("git-send-email")
@pytest.mark.parametrize("over", ["sendmail", "smtp"])
def test_git_sends_a_patch(host: Host, over: str) -> None:
    joe, ann, bob = host.user("joe"), host.user("ann"), host.user("bob")
    host.start()
    who = 'git config user.name "Joe Example"; git config user.email joe@here.example'
    subprocess.run(
        ["setpriv", f"--reuid={joe.uid}", f"--regid={joe.gid}", "--clear-groups", "sh", "-ec",
         f"git init -q; {who}; echo x >file; git add file; git commit -qm 'A change'"],
        cwd=joe.home, env={"PATH": "/usr/bin:/bin", "HOME": str(joe.home)}, check=True, timeout=60,
    )  # fmt: skip
    server = {
        "sendmail": [f"--smtp-server={host.home}/bin/sendmail", "--envelope-sender=joe-bounces@here.example"],
        "smtp": ["--smtp-server=127.0.0.1", f"--smtp-server-port={host.port}"],
    }[over]
    words = ["--quiet", "--confirm=never", "--suppress-cc=self", "--to=ann@here.example", "--cc=bob@here.example"]
    run(host, joe, "git", "send-email", *server, *words, "-1")
    for user in (ann, bob):
        (message,) = user.wait_for_mail()
        sender = b"joe-bounces@here.example" if over == "sendmail" else b"joe@here.example"
        assert message.startswith(b"Return-Path: <" + sender + b">\n")
        assert b"\nSubject: [PATCH] A change\n" in message and b"\n+x\n" in message
        assert b"\nTo: ann@here.example\nCc: bob@here.example\n" in message
