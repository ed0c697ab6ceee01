"""Debian's Postfix as a peer: an instance with a directory, queue and ports of its own."""

from __future__ import annotations

import pwd
import re
import shutil
import smtplib
import subprocess
from pathlib import Path

from conftest import wait_until

ACCOUNT = "nobody"  # who gets the mail for postfix.example


class Postfix:
    """Takes mail for everybody: for postfix.example and `domains` into a Maildir, for others it goes where `main` says.

    `ports`: to the settings of the smtpd there; `main`: more lines of main.cf; `clients`: names of transports to the
    settings of their smtp. Needs root.
    """

    def __init__(
        self,
        place: Path,
        ports: dict[int, dict[str, str]],
        *,
        domains: list[str] | None = None,
        main: str = "",
        clients: dict[str, dict[str, str]] | None = None,
    ) -> None:
        self.place, self.ports = place, ports
        self._maildir, self._log = place / "mail", place / "maillog"
        for name, owner, group, mode in DIRECTORIES:
            (place / name).mkdir(exist_ok=True)
            (place / name).chmod(mode)
            shutil.chown(place / name, owner, group)
        account = pwd.getpwnam(ACCOUNT)
        ours = " ".join(domains or [])
        main = MAIN.format(place=place, uid=account.pw_uid, gid=account.pw_gid, domains=ours) + main
        (place / "main.cf").write_text(main)
        services = [_service(f"127.0.0.1:{port}", "inet", "smtpd", settings) for port, settings in ports.items()]
        services += [_service(name, "unix", "smtp", settings) for name, settings in (clients or {}).items()]
        (place / "master.cf").write_text(MASTER + "".join(services))
        # Without the scripts of postfix(1), which look at every file of the system's Postfix for seconds.
        self.process = subprocess.Popen(
            ["/usr/lib/postfix/sbin/master", "-d", "-c", place], env={"PATH": "/usr/sbin:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: "daemon started" in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    def __enter__(self) -> Postfix:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text("latin-1") if self._log.exists() else ""

    def says(self, pattern: str) -> str:
        """Wait for a line of its log; the line."""
        wait_until(lambda: re.search(pattern, self.log) is not None, 30)
        found = re.search(f".*(?:{pattern}).*", self.log)
        assert found
        return found[0]

    def mail(self) -> list[bytes]:
        """What has come for postfix.example."""
        return [path.read_bytes() for path in sorted(self._maildir.glob("new/*"))]

    def wait_for_mail(self, count: int = 1) -> list[bytes]:
        """The mail, when there is so much of it."""
        wait_until(lambda: len(self.mail()) >= count, 30)
        return self.mail()

    def send(self, sender: str, recipient: str, text: bytes) -> None:
        """Hand it a message by SMTP."""
        with smtplib.SMTP("127.0.0.1", next(iter(self.ports)), timeout=30) as client:
            client.sendmail(sender, [recipient], text)


_OWN = "active bounce corrupt defer deferred flush hold incoming private saved trace"
# Name, owner, group, mode.
DIRECTORIES = [
    ("", "root", "root", 0o755),
    ("spool", "root", "root", 0o755),
    ("data", "postfix", "root", 0o700),
    ("mail", ACCOUNT, "root", 0o755),
    ("spool/pid", "root", "root", 0o755),
    ("spool/public", "postfix", "postdrop", 0o710),
    ("spool/maildrop", "postfix", "postdrop", 0o730),
    *((f"spool/{name}", "postfix", "root", 0o700) for name in _OWN.split()),
]


def _service(name: str, kind: str, program: str, settings: dict[str, str]) -> str:
    private = "n" if kind == "inet" else "-"
    words = [f"  -o {{ {key} = {value} }}\n" for key, value in settings.items()]
    return f"{name} {kind} {private} - n - - {program}\n" + "".join(words)


MAIN = """
compatibility_level = 3.6
queue_directory = {place}/spool
data_directory = {place}/data
maillog_file = {place}/maillog
maillog_file_prefixes = /
myhostname = mx.postfix.example
mydomain = postfix.example
myorigin = postfix.example
mydestination =
virtual_mailbox_domains = postfix.example {domains}
virtual_mailbox_base = /
virtual_mailbox_maps = static:{place}/mail/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
biff = no
notify_classes =
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_loglevel = 1
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
"""
MASTER = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
