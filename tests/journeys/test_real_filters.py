"""Filters and deliverers from .qmail lines do their work: procmail, maildrop, those of Dovecot and SpamAssassin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import needs_root
from journeys.conftest import Host, User, eventually, free_port
from journeys.inplace import inside

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"  # what every spam filter knows


def needs(program: str) -> pytest.MarkDecorator:
    """A skip that says what to install."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/lib/dovecot")
    return pytest.mark.skipif(path is None, reason=f"needs {program} (see .ci/run for the Debian packages)")


def send(host: Host, subject: str, *, sender: str = "ann@here.example", to: str = "joe@here.example") -> None:
    message = f"From: {sender}\nTo: {to}\nSubject: {subject}\n\nhello\n"
    command = [host.home / "bin/sendmail", "-i", "-f", sender, to]
    subprocess.run(command, input=message.encode(), env=host.environment, check=True, timeout=60)


def private(user: User, name: str, text: str) -> None:
    user.file(name, text).chmod(0o600)


def folder(user: User, name: str) -> Path:
    user.file(name)
    return user.home / name / "new"


def start(host: Host) -> None:
    """Everything, with accounts for the users: these programs look them up."""
    host.around = inside(host)
    host.start()


PROCMAILRC = """
DEFAULT=$HOME/Maildir/
:0
* ^Subject: list
Lists/

:0
* ^Subject: unwanted
{
  EXITCODE=100
  LOG="not wanted here
"
  :0
  /dev/null
}

:0
* ^Subject: later
{
  EXITCODE=75
  :0
  /dev/null
}
"""


@needs_root
@needs("procmail")
def test_procmail_sorts_bounces_and_defers(host: Host) -> None:
    joe, ann = host.user("joe"), host.user("ann")
    joe.file(".qmail", "|preline procmail\n")
    private(joe, ".procmailrc", PROCMAILRC)
    lists = folder(joe, "Lists")
    start(host)
    send(host, "one")
    (message,) = joe.wait_for_mail()
    head = message.split(b"\n")
    assert head[0] == b"Return-Path: <ann@here.example>" and head[1] == b"Delivered-To: joe@here.example"
    assert message.endswith(b"\n\nhello\n")
    send(host, "list")
    eventually("sorted mail", lambda: list(lists.iterdir()))
    send(host, "later")
    host.wait_for_log("send", "deferral: ")
    send(host, "unwanted")
    (bounce,) = ann.wait_for_mail()
    assert b"failure notice" in bounce and b"not wanted here" in bounce
    assert len(joe.mail()) == 1


MAILFILTER = """
if (/^Subject: list/)
{
  to "Lists"
}
if (/^Subject: unwanted/)
{
  echo "not wanted here"
  EXITCODE = 100
  exit
}
if (/^Subject: over/)
{
  cc "Maildir"
  EXITCODE = 99
  exit
}
to "Maildir"
"""


@needs_root
@needs("maildrop")
def test_maildrop_sorts_bounces_and_ends_the_delivery(host: Host) -> None:
    joe, ann = host.user("joe"), host.user("ann")
    joe.file(".qmail", "|maildrop\n./Second/\n")
    private(joe, ".mailfilter", MAILFILTER)
    lists, second = folder(joe, "Lists"), folder(joe, "Second")
    start(host)
    send(host, "over")  # 99: the next line is not followed
    (message,) = joe.wait_for_mail()
    assert message.endswith(b"\nSubject: over\n\nhello\n")
    host.wait_for_empty_queue()
    assert not list(second.iterdir())
    send(host, "list")
    eventually("sorted mail", lambda: list(lists.iterdir()) and list(second.iterdir()))
    send(host, "unwanted")
    (bounce,) = ann.wait_for_mail()
    assert b"failure notice" in bounce and b"not wanted here" in bounce


DOVECOT = """
mail_location = maildir:~/Maildir
log_path = {log}
postmaster_address = postmaster@here.example
quota_full_tempfail = yes
lda_mailbox_autocreate = yes
ssl = no
"""


@needs_root
@needs("dovecot-lda")
@pytest.mark.parametrize("name", ["dovecot-lda", "deliver"])
def test_deliver_of_dovecot_files_mail(host: Host, tmp_path: Path, name: str) -> None:
    joe, ann = host.user("joe"), host.user("ann")
    log = joe.file("log", "")
    (tmp_path / "dovecot.conf").write_text(DOVECOT.format(log=log))
    program = f'preline -f /usr/lib/dovecot/{name} -c {tmp_path}/dovecot.conf -f "$SENDER" -a "$RECIPIENT"'
    joe.file(".qmail", f"|{program}\n")
    joe.file(".qmail-default", f'|{program} -m "$EXT"\n')
    joe.file(".qmail-broken", f"|{program} -o mail_location=maildir:/proc/none\n")
    start(host)
    send(host, "one")
    (message,) = joe.wait_for_mail()
    assert b"\nSubject: one\n" in message and message.endswith(b"\n\nhello\n")
    assert b"Return-Path: <ann@here.example>\n" in message
    send(host, "two", to="joe-work@here.example")
    eventually("mail in a folder", lambda: list((joe.home / "Maildir/.work/new").glob("*")), log.read_text)
    send(host, "three", to="joe-broken@here.example")
    host.wait_for_log("send", "deferral: ")
    assert not ann.mail()


LMTP = """
protocols = lmtp
base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/log
mail_location = maildir:~/Maildir
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
ssl = no
auth_mechanisms = plain
recipient_delimiter = -
passdb {{
  driver = passwd-file
  args = {place}/users
}}
userdb {{
  driver = passwd-file
  args = {place}/users
}}
service lmtp {{
  unix_listener {place}/lmtp {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


@needs_root
@needs("lmtp")
def test_dovecot_takes_mail_by_lmtp(host: Host, tmp_path: Path) -> None:
    joe, ann = host.user("joe"), host.user("ann")
    place = Path(tempfile.mkdtemp(dir="/var/tmp"))  # a socket's path may have 107 bytes
    place.chmod(0o755)
    (place / "dovecot.conf").write_text(LMTP.format(place=place))
    (place / "users").write_text(f"joe::{joe.uid}:{joe.gid}::{joe.home}::\n")
    joe.file(".qmail", f"|lmtp {place}/lmtp joe\n")
    joe.file(".qmail-gone", f"|lmtp {place}/lmtp nobody-here\n")
    server = subprocess.Popen(["dovecot", "-F", "-c", place / "dovecot.conf"], stdin=subprocess.DEVNULL)
    try:
        eventually("dovecot's socket", (place / "lmtp").is_socket)
        host.start()
        send(host, "by lmtp")
        (message,) = joe.wait_for_mail()
        assert b"\nSubject: by lmtp\n" in message and b"Return-Path: <ann@here.example>\n" in message
        send(host, "to nobody", to="joe-gone@here.example")
        (bounce,) = ann.wait_for_mail()
        assert b"550 5.1.1" in bounce
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(place)


# All of its own rules take it ten seconds to read.
RULES = f"""
loadplugin Mail::SpamAssassin::Plugin::Check
required_score 5
body GTUBE /{re.escape(GTUBE)}/
score GTUBE 1000
report_safe 0
add_header spam Flag _YESNOCAPS_
add_header all Checker-Version SpamAssassin _VERSION_
"""


@needs_root
@needs("spamd")
@needs("spamc")
@needs("maildrop")
def test_spamassassin_marks_and_redirects(host: Host, tmp_path: Path) -> None:
    joe, ann, sue = host.user("joe"), host.user("ann"), host.user("sue")
    port = free_port()
    spamc = f"spamc -d 127.0.0.1 -p {port}"
    joe.file(".qmail", f"|condredirect joe-junk@here.example except {spamc} -c\n./Maildir/\n")
    joe.file(".qmail-junk", "./Junk/\n")
    joe.file(".qmail-refuse", f"|bouncesaying 'No junk here.' except {spamc} -c\n./Maildir/\n")
    sue.file(".qmail", f"|{spamc} | maildrop\n")
    private(sue, ".mailfilter", 'to "Maildir"\n')
    junk = folder(joe, "Junk")
    start(host)
    place = tmp_path / "spam"
    (place / "site").mkdir(parents=True)
    (place / "rules").mkdir()
    (place / "rules/10.cf").write_text(RULES)
    command = ["spamd", "-L", "-x", "-m", "2", "-i", "127.0.0.1", "-p", str(port), "-u", "nobody", "-s", "stderr"]
    command += ["-H", str(place), "-r", str(place / "pid"), "-C", str(place / "rules")]
    command += [f"--siteconfigpath={place}/site"]
    with open(tmp_path / "spamd.log", "wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        eventually("spamd", lambda: subprocess.run([*spamc.split(), "-K"], capture_output=True).returncode == 0)
        for subject in ("good", GTUBE):
            for to in ("joe", "sue", "joe-refuse"):
                send(host, subject, to=f"{to}@here.example")
        host.wait_for_empty_queue()
    finally:
        server.terminate()
        server.wait(30)
    assert len(joe.mail()) == 2 and not [message for message in joe.mail() if b"GTUBE" in message]
    (caught,) = [path.read_bytes() for path in junk.iterdir()]
    assert b"GTUBE" in caught and b"\nDelivered-To: joe@here.example\n" in caught
    (bounce,) = ann.mail()
    assert b"No junk here." in bounce and b"<joe-refuse@here.example>:" in bounce
    marks = sorted(b"\nX-Spam-Flag: YES\n" in message for message in sue.mail())
    assert marks == [False, True] and all(b"X-Spam-Checker-Version: " in message for message in sue.mail())
