"""The programs that people use send into it, and Dovecot reads what arrived."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from journeys.conftest import Host, User, eventually, free_port


def need(program: str) -> str:
    """The path of a peer, or a skip that says what to install."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/lib/dovecot")
    if path is None:
        pytest.skip(f"needs {program} (see .ci/run for the Debian packages)")
    return path


def as_user(user: User) -> dict[str, object]:
    """Arguments that make a child this user."""
    return {"user": user.uid, "group": user.gid, "extra_groups": []} if os.geteuid() == 0 else {}


def test_swaks_delivers(host: Host) -> None:
    joe = host.user("joe")
    host.start()
    subprocess.run(
        [need("swaks"), "--server", "127.0.0.1", "--port", str(host.port), "--to", "joe@here.example",
         "--from", "a@b.example", "--header", "Subject: by swaks", "--suppress-data"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert b"Subject: by swaks" in joe.wait_for_mail()[0]


@pytest.mark.parametrize("reuse", [[], ["-d"]], ids=["one a connection", "many a connection"])
def test_smtp_source_loses_nothing(host: Host, reuse: list[str]) -> None:
    joe = host.user("joe")
    host.start()
    subprocess.run(
        [need("smtp-source"), "-4", "-m", "300", "-s", "20", "-l", "4096", *reuse, "-f", "a@b.example",
         "-t", "joe@here.example", f"inet:127.0.0.1:{host.port}"],
        check=True, timeout=60,
    )  # fmt: skip
    messages = joe.wait_for_mail(300)
    host.wait_for_empty_queue()
    assert len(messages) == 300
    # Each message has its own Received number, and none came twice.
    assert len({line for m in messages for line in m.split(b"\n") if line.startswith(b"Received: (qmail")}) > 250


def test_curl_uploads(host: Host) -> None:
    joe = host.user("joe")
    host.start()
    subprocess.run(
        [need("curl"), "-sS", f"smtp://127.0.0.1:{host.port}/client.example", "--mail-from", "a@b.example",
         "--mail-rcpt", "joe@here.example", "-T", "-"],
        input=b"Subject: by curl\r\n\r\n.dot\r\n", check=True, timeout=60,
    )  # fmt: skip
    assert joe.wait_for_mail()[0].endswith(b"Subject: by curl\n\n.dot\n")


@pytest.mark.parametrize("program", ["mutt", "s-nail"])
def test_mail_programs_send_through_sendmail(host: Host, program: str) -> None:
    need(program)
    joe, ann = host.user("joe", "nobody"), host.user("ann")
    host.start()
    sendmail = f"{host.home}/bin/sendmail"
    environment = {**host.environment, "HOME": str(joe.home), "USER": "joe", "LOGNAME": "joe", "MAILRC": "/dev/null"}
    if program == "mutt":
        argv = [
            "mutt", "-n", "-F", "/dev/null", "-e", f'set sendmail="{sendmail} -oem -oi"', "-e", "set copy=no",
            "-e", 'set realname="Joe"', "-s", "by mutt", "ann@here.example",
        ]  # fmt: skip
    else:
        argv = ["s-nail", "-:/", "-Smta=" + sendmail, "-Sv15-compat", "-s", "by s-nail", "ann@here.example"]
    done = subprocess.run(
        argv, input=b"hello\n", env=environment, cwd=joe.home, capture_output=True, timeout=60, **as_user(joe)
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    (message,) = ann.wait_for_mail()
    assert f"Subject: by {program}".encode() in message
    assert f"invoked by uid {joe.uid}".encode() in message


def test_dovecot_reads_the_maildir(host: Host, tmp_path: Path) -> None:
    need("dovecot")
    if os.geteuid():
        pytest.skip("dovecot needs root")
    joe = host.user("joe")
    host.start()
    subprocess.run(
        [need("curl"), "-sS", f"smtp://127.0.0.1:{host.port}", "--mail-from", "a@b.example",
         "--mail-rcpt", "joe@here.example", "-T", "-"],
        input=b"Subject: for imap\r\n\r\nread me\r\n", check=True, timeout=60,
    )  # fmt: skip
    joe.wait_for_mail()
    port, base = free_port(), tmp_path / "dovecot"
    base.mkdir()
    (base / "users").write_text(f"joe:{{PLAIN}}secret:{joe.uid}:{joe.gid}::{joe.home}::\n")
    (base / "conf").write_text(DOVECOT.format(base=base, port=port))
    server = subprocess.Popen(
        [need("dovecot"), "-F", "-c", base / "conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"imap://joe:secret@127.0.0.1:{port}/INBOX;MAILINDEX=1"
        read = eventually(
            "IMAP", lambda: subprocess.run(["curl", "-s", url], capture_output=True, timeout=60, check=False).stdout
        )
    finally:
        server.terminate()
        server.wait(30)
    assert b"read me" in bytes(read)  # type: ignore[arg-type]


DOVECOT = """
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = imap
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = {base}/users
}}
userdb {{
  driver = passwd-file
  args = {base}/users
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
