"""mutt sends by its own SMTP and reads by POP3, both under TLS, with a certificate that it verifies."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, needs_root, open_to_others
from journeys.conftest import eventually, free_port, is_taken
from journeys.secured import Secured

pytestmark = needs_root

SETTINGS = """
set ssl_ca_certificates_file="{trust}" certificate_file="/nonexistent" ssl_starttls=yes
set ssl_force_tls=yes from="joe@here.example" use_envelope_from=yes hostname=client.example copy=no
set smtp_pass="secret" pop_pass="secret" pop_delete=no pop_checkinterval=0 delete=no
set folder="{place}" confirmcreate=no confirmappend=no wait_key=no sleep_time=0
"""


class Server(Secured):
    """Submission, SMTP with TLS first, and POP3 with TLS first, for somebody who has a password of mail's own."""

    def __init__(self, place: Path) -> None:
        super().__init__(place, "far.example", {"good": free_port()})
        home = self.host.home
        self.box = place / "box"
        subprocess.run([BIN / "maildirmake", self.box], check=True)
        subprocess.run([BIN / "maildirmake", self.box / "Maildir"], check=True)
        account = pwd.getpwnam("nobody")
        for path in (self.box, self.box / "Maildir", *(self.box / "Maildir").iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
        command = [BIN / "qmail-password", "-a", "nobody", "-d", self.box, "joe"]
        subprocess.run(
            command, input=b"secret\n", env={"QMAIL_HOME": str(home)}, check=True, capture_output=True
        )  # fmt: skip
        shutil.chown(home / "users/passwords", "qmailp")
        self.host.run("authd", "setuidgid", "qmailp", f"{home}/bin/qmail-authd")
        eventually("qmail-authd", (home / "qp/login").is_socket)
        self.ports = {name: free_port() for name in ("smtp", "smtps", "pops")}
        smtpd, popup = (
            ["qmail-smtpd"],
            ["tlswrap", "qmail-popup", "here.example", "checkpwfile", "qmail-pop3d", "Maildir"],
        )
        variables = {"smtp": {"SMTPAUTH": "!"}, "smtps": {"SMTPAUTH": "!", "SMTPS": "1"}, "pops": {}}
        for name, port in self.ports.items():
            program, *rest = popup if name == "pops" else smtpd
            self.host.run(
                name, "tcpserver", "-vRHl0", "127.0.0.1", str(port), f"{home}/bin/{program}", *rest,
                environment=variables[name],
            )  # fmt: skip
            eventually(name, lambda port=port: is_taken(port))  # type: ignore[misc]

    def stop(self) -> None:
        """End everything."""
        for name in (*self.ports, "authd"):
            self.host.stop_service(name)
        super().stop()

    def settings(self, place: Path, trust: Path) -> Path:
        """A file of settings for mutt."""
        path = place / "muttrc"
        path.write_text(SETTINGS.format(trust=trust, place=place))
        return path

    def url(self, name: str, host: str = "localhost") -> str:
        return f"{name}://joe@{host}:{self.ports[name]}/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(open_to_others(tmp_path_factory.mktemp("p")))
    yield made
    made.stop()


def send(settings: Path, url: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["mutt", "-n", "-F", settings, "-e", f'set smtp_url="{url}"', "-s", f"by {url}", "joe@here.example"],
        input=b".dot\n", capture_output=True, timeout=60, env={**os.environ, "HOME": str(settings.parent)},
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mutt_logs_in_and_sends(server: Server, tmp_path: Path, scheme: str) -> None:
    url = server.url(scheme)
    done = send(server.settings(tmp_path, server.authority.trust), url)
    assert done.returncode == 0, done.stdout + done.stderr
    (message,) = server.mail(1)
    assert b"with ESMTPSA (TLSv1.3 " in message and message.endswith(b"\n\n.dot\n")
    assert f"\nSubject: by {url}\n".encode() in message


def test_mutt_sends_nothing_where_it_does_not_trust_our_certificate(server: Server, tmp_path: Path) -> None:
    server.make("self-signed", tmp_path / "other.pem")
    for scheme in ("smtp", "smtps"):
        done = send(server.settings(tmp_path, tmp_path / "other.pem"), server.url(scheme))
        assert done.returncode != 0
    assert server.joe.mail() == []


def test_mutt_reads_by_pop3_with_tls_first(server: Server, tmp_path: Path) -> None:
    letter = server.box / "Maildir/new/1"
    letter.write_text("From: ann@here.example\nSubject: read me\n\n.dot\n" + "x" * 900 + "\n")
    os.utime(letter, (1, 1))
    shutil.chown(letter, "nobody")
    out, settings = tmp_path / "out", server.settings(tmp_path, server.authority.trust)
    keys = f"<copy-message><kill-line>{out}<enter><quit>"
    words = f"mutt -n -F {settings} -f {server.url('pops')} -e 'push \"{keys}\"'"
    # A terminal that nobody types on, and that stays until mutt has ended.
    with (tmp_path / "screen").open("wb") as screen:
        mutt = subprocess.Popen(
            ["script", "-qec", words, "/dev/null"], stdin=subprocess.PIPE, stdout=screen, stderr=screen,
            env={**os.environ, "HOME": str(tmp_path), "TERM": "vt100"},
        )  # fmt: skip
        with mutt:
            mutt.wait(60)
    text = out.read_bytes() if out.exists() else b""
    assert b"\nSubject: read me\n" in text and b"\n\n.dot\n" + b"x" * 900 + b"\n" in text, (
        tmp_path / "screen"
    ).read_bytes()
    assert letter.exists() or list((server.box / "Maildir/cur").iterdir())
