"""A certificate, `qmail setup`, a password: users send on 587 and 465 and fetch by POP3S, with clients of Debian's."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from chapter.conftest import Machine

pytestmark = [pytest.mark.prove, pytest.mark.xdist_group("chapter"), pytest.mark.timeout(100)]

HOST = "mail.example.com"
CERTIFICATE = f"""umask 077; cd /var/qmail/control && openssl req -x509 -newkey ec -nodes -days 30 \\
  -pkeyopt ec_paramgen_curve:P-256 -subj /CN={HOST} -addext subjectAltName=DNS:{HOST} \\
  -keyout key -out certificate 2>&1 &&
  cat certificate key > servercert.pem && cp certificate /etc/ca.pem && chmod 644 /etc/ca.pem && rm key certificate"""
POP3S = f"""#!/bin/sh
PATH=/var/qmail/bin:/usr/local/bin:/usr/bin:/bin; export PATH
exec 2>&1
exec tcpserver -v -R -H -l 0 -c 40 0 pop3s \\
tlswrap qmail-popup {HOST} checkpwfile qmail-pop3d Maildir
"""
MUTT = f"""set smtp_url="smtps://steve@{HOST}:465" smtp_pass="a secret" certificate_file=/etc/ca.pem
set from=steve@{HOST} realname=Steve use_from=yes envelope_from=yes copy=no ssl_starttls=yes ssl_force_tls=yes
set header_cache="" record=""
"""


@pytest.fixture(scope="module")
def owner(make_machine: Callable[[], Machine]) -> Machine:
    """A machine where qmail is set up with a certificate, steve has a password, and everything runs."""
    machine = make_machine()
    machine.types(
        "for name in $(awk -F: '$3>=1000 && $3<60000 {print $1}' /etc/passwd); do userdel $name; done", code=None
    )
    machine.types("useradd -m -s /bin/sh steve; useradd -m -s /bin/sh mary; rm -f /usr/sbin/sendmail /usr/lib/sendmail")
    machine.types("make bin")
    machine.types(f"bin/qmail setup {HOST}")
    machine.types(CERTIFICATE)
    said = machine.types("qmail setup")
    for name in ("tlsd", "authd", "submission", "smtps"):
        assert f"making link /service/qmail-{name} to /var/qmail/supervise/{name}\n" in said
    machine.types("printf 'a secret\\n' | qmail password steve")
    machine.types("mkdir /var/qmail/supervise/pop3s")
    machine.writes("/var/qmail/supervise/pop3s/run", POP3S, "755")
    machine.types("ln -s /var/qmail/supervise/pop3s /service/")
    machine.types("/var/qmail/bin/tcprules /etc/tcp.smtp.cdb /etc/tcp.smtp.tmp < /etc/tcp.smtp")
    machine.types_in_background("/var/qmail/bin/svscan --stop /service &")
    for port in (25, 465, 587, 995):
        machine.listens(port)
    machine.waits_for("test -S /var/qmail/qq/socket && test -S /var/qmail/qp/login && test -S /var/qmail/qt/socket")
    return machine


def test_everything_is_as_it_should_be(owner: Machine) -> None:
    assert owner.types("qmail doctor") == "nothing is wrong in /var/qmail\n"
    assert owner.types("qmail setup --dry-run") == "Nothing is missing.\n"
    users = {name: user for user, name, _ in owner.processes() if name in ("qmail-authd", "qmail-tlsd")}
    assert users["qmail-authd"] == "qmailp"


@pytest.mark.parametrize(("port", "words"), [(587, "--tls"), (465, "--tlsc")])
def test_swaks_sends_what_lacks_a_date(owner: Machine, port: int, words: str) -> None:
    said = owner.types(
        f"swaks --server {HOST} --port {port} {words} --tls-verify --tls-ca-path /etc/ca.pem --auth PLAIN"
        f" --auth-user steve --auth-password 'a secret' --from steve@{HOST} --to mary@{HOST}"
        f" --data 'Subject: by {port}\n\nhello\n'"
    )
    assert "235 2.7.0 ok" in said
    message = owner.sees_in("/home/mary/Maildir/new", f"Subject: by {port}")
    assert re.search(
        rf"with ESMTPSA .*\nDate: [^\n]*\nMessage-ID: <[\d.]+\.qmail@{HOST}>\nFrom: steve@{HOST}\nSubject: by {port}\n",
        message, re.S,
    )  # fmt: skip


def test_mutt_sends_with_tls_first(owner: Machine) -> None:
    owner.writes("/home/steve/rc", MUTT)
    owner.types(f"echo hello | mutt -n -F /home/steve/rc -s 'by mutt' mary@{HOST}", user="steve", cwd="/home/steve")
    message = owner.sees_in("/home/mary/Maildir/new", "Subject: by mutt")
    assert message.count("Message-ID: ") == message.count("\nDate: ") == 1 and f"From: Steve <steve@{HOST}>" in message


def test_nobody_sends_as_somebody_else_or_without_a_password(owner: Machine) -> None:
    words = f"swaks --server {HOST} --port 587 --tls --to mary@{HOST}"
    assert "530 5.7.0" in owner.types(f"{words} --from steve@{HOST}", code=23)
    login = f"{words} --auth PLAIN --auth-user steve --auth-password"
    assert "553 5.7.1" in owner.types(f"{login} 'a secret' --from mary@{HOST}", code=23)
    assert "535 5.7.8" in owner.types(f"{login} wrong --from steve@{HOST}", code=28)


def test_what_a_user_may_send_in_an_hour_counts_for_both_ports(owner: Machine) -> None:
    owner.writes("/var/qmail/control/userlimits", ":1:10\n")
    words = f"--auth PLAIN --auth-user steve --auth-password 'a secret' --from steve@{HOST} --to mary@{HOST}"
    owner.types(f"swaks --server {HOST} --port 587 --tls {words}")
    assert "450 4.7.1" in owner.types(f"swaks --server {HOST} --port 465 --tlsc {words}", code=25)
    owner.types("rm /var/qmail/control/userlimits")


def test_curl_fetches_by_pop3s_what_steve_got(owner: Machine) -> None:
    owner.inject(f"steve@{HOST}", "for steve")
    owner.sees_in("/home/steve/Maildir/new", "Subject: for steve")
    owner.types("touch -d '1 hour ago' /home/steve/Maildir/new/*")  # what has just come is not shown yet
    curl = f"curl -sS --cacert /etc/ca.pem -u 'steve:a secret' --login-options AUTH=PLAIN pop3s://{HOST}"
    assert "Subject: for steve" in owner.types(f"{curl}/1")
    assert "Subject: for steve" not in owner.types(f"{curl.replace('a secret', 'wrong')}/1", code=67)


def test_an_account_of_the_system_sends_where_a_checker_says_so(owner: Machine) -> None:
    owner.types("echo mary:hers | chpasswd")
    owner.types("echo checker > /var/qmail/control/logins; mkdir /var/qmail/supervise/checkpwd")
    owner.writes(
        "/var/qmail/supervise/checkpwd/run",
        "#!/bin/sh\nPATH=/var/qmail/bin:/usr/bin:/bin; export PATH\nexec qmail-checkpwd checkpassword true 2>&1\n",
        "755",
    )
    owner.types("ln -s /var/qmail/supervise/checkpwd /service/; /var/qmail/bin/svc -t /service/qmail-authd")
    owner.waits_for("test -S /var/qmail/ql/checkpw")
    words = f"swaks --server {HOST} --port 587 --tls --from mary@{HOST} --to steve@{HOST} --auth-user mary"
    said = owner.types(
        f"for i in 1 2 3 4 5; do {words} --auth-password hers --header 'Subject: by mary' && break; sleep 1; done"
    )
    assert "250-AUTH PLAIN LOGIN" in said and "235 2.7.0 ok" in said
    owner.sees_in("/home/steve/Maildir", "Subject: by mary")
    assert "535 5.7.8" in owner.types(f"{words} --auth-password 'a secret'", code=28)
