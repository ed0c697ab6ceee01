"""Debian's Exim as a peer: a daemon with a directory of its own, unpacked beside the system's by .ci/run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from conftest import wait_until

EXIM = Path("/opt/pyqmail-peers/exim/usr/sbin/exim4")
USER = "Debian-exim"
DOMAIN = "exim.example"


class Exim:
    """Takes mail for everybody: for exim.example and those below into a Maildir, for others it goes to localhost,
    port `to`.

    What it cannot deliver at once it never will. `certificates`: those of its ports, and of more that it listens on,
    each with its key; `main` and `smtp`: more settings of the main part, and of its transport to others. Needs root.
    """

    def __init__(
        self,
        place: Path,
        port: int,
        *,
        to: int = 0,
        certificates: dict[int, Path] | None = None,
        main: str = "",
        smtp: str = "",
    ) -> None:
        self.place, self.port, certificates = place, port, certificates or {}
        self._configuration, self._maildir = place / "exim.conf", place / "mail"
        for directory in (place, place / "spool", self._maildir):
            directory.mkdir(exist_ok=True)
            shutil.chown(directory, USER, USER)
        for each, certificate in certificates.items():
            own = place / f"{each}.pem"
            shutil.copyfile(certificate, own)
            own.chmod(0o600)
            shutil.chown(own, USER)
        if certificates:
            main += f"\ntls_certificate = {place}/$received_port.pem\ntls_privatekey = {place}/$received_port.pem\n"
        ports = " : ".join(map(str, {port, *certificates}))
        self._configuration.write_text(CONFIGURATION.format(exim=EXIM, place=place, ports=ports, to=to, main=main))
        with self._configuration.open("a") as file:
            file.write(TRANSPORT.format(smtp=smtp))
        self.process = subprocess.Popen(
            [EXIM, "-C", self._configuration, "-bdf"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: "listening for SMTP" in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    def __enter__(self) -> Exim:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    @property
    def log(self) -> str:
        """What it has said."""
        path = self.place / "mainlog"
        return path.read_text("latin-1") if path.exists() else ""

    def says(self, pattern: str) -> None:
        """Wait for a line of its log."""
        wait_until(lambda: re.search(pattern, self.log) is not None, 30)

    def mail(self) -> list[bytes]:
        """What has come into its Maildir."""
        return [path.read_bytes() for path in sorted(self._maildir.glob("new/*"))]

    def wait_for_mail(self, count: int = 1) -> list[bytes]:
        """The mail, when there is so much of it."""
        wait_until(lambda: len(self.mail()) >= count, 30)
        return self.mail()

    def take(self, count: int) -> list[bytes]:
        """The mail, when there is so much of it, taken away."""
        messages = self.wait_for_mail(count)
        for path in self._maildir.glob("new/*"):
            path.unlink()
        return messages

    def send(self, sender: str, recipient: str, text: bytes) -> None:
        """Hand it a message, as a local program does; it goes out at once."""
        subprocess.run(
            [EXIM, "-C", self._configuration, "-odb", "-oi", "-f", sender, recipient], input=text, check=True,
            capture_output=True, timeout=60,
        )  # fmt: skip


CONFIGURATION = """
exim_path = {exim}
spool_directory = {place}/spool
log_file_path = {place}/%slog
pid_file_path = {place}/pid
primary_hostname = exim.example
keep_environment =
deliver_drop_privilege = true
daemon_smtp_ports = {ports}
local_interfaces = 127.0.0.1
dns_ipv4_lookup = *
host_lookup =
rfc1413_query_timeout = 0s
message_size_limit = 64M
acl_smtp_rcpt = take
log_selector = +tls_cipher +tls_peerdn +tls_certificate_verified +tls_resumption +smtp_confirmation
{main}
begin acl
take:
  accept
begin routers
out:
  driver = manualroute
  domains = ! exim.example : ! *.exim.example
  route_list = * localhost::{to} byname
  self = send
  transport = out
here:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {place}/mail
  maildir_format
  user = Debian-exim
"""
TRANSPORT = """
out:
  driver = smtp
  {smtp}
"""
