"""A host of ours with TLS whose peers verify certificates, and whose certificates are good or bad in every way."""

from __future__ import annotations

import os
import re
import smtplib
from collections.abc import Iterable
from pathlib import Path

from conftest import BIN
from journeys.conftest import Host
from securing import Authority, Tls, certificate

KINDS = ("good", "expired", "wrong", "self-signed")
VERSIONS = {"tls12": "TLSv1.2", "tls13": "TLSv1.3"}
POLICIES = ("encrypt", "verify")
LETTER = b"Subject: hello\r\n\r\n..dots\r\n" + b"x" * 900 + b"\r\n"
LETTER_END = b"\n..dots\n" + b"x" * 900 + b"\n"


class Secured:
    """The host, here.example, with somebody called joe.

    Mail for KIND.POLICY.DOMAIN goes to `ports[KIND]` of this machine, by that policy; other mail to `ports["good"]`.
    """

    def __init__(self, place: Path, domain: str, ports: dict[str, int], locals_: Iterable[str] = ()) -> None:
        from qmail.stores.installation import create

        self.authority = Authority(place / "authority")
        path = place / "here.example"
        create(os.fsencode(path))
        (path / "bin").rmdir()
        (path / "bin").symlink_to(BIN)
        self.host = host = Host(path, "here.example")
        host.smtp_environment = {"RELAYCLIENT": ""}
        host.control("locals", host.name, *locals_)
        routes = [f"{kind}.{policy}.{domain}:[127.0.0.1]:{ports[kind]}" for kind in ports for policy in POLICIES]
        host.control("smtproutes", *routes, f":[127.0.0.1]:{ports['good']}")
        host.control("tlspolicy", f".encrypt.{domain}:encrypt", ":verify")
        host.control("tlstrust.pem", self.authority.trust.read_text())
        self.joe = host.user("joe")
        self.joe.file(".qmail-default", "./Maildir/\n")
        self.make("good", self.own)
        self.tls = Tls(path)
        host.start()

    def stop(self) -> None:
        """End everything."""
        self.host.stop()
        self.tls.__exit__()

    @property
    def own(self) -> Path:
        """The file with our own certificate."""
        return self.host.home / "control/servercert.pem"

    def show(self, kind: str) -> None:
        """Let clients see a certificate of this kind from now on."""
        self.make(kind, self.own)
        self.tls.read_again()

    def make(self, kind: str, path: Path) -> None:
        """A certificate of this kind, for our own name and that of the way to us."""
        match kind:
            case "good":
                self.authority.certify(path, "here.example", "localhost")
            case "expired":
                self.authority.certify(path, "here.example", "localhost", years=("2020", "2021"))
            case "wrong":
                self.authority.certify(path, "elsewhere.example", address="127.0.0.2")
            case _:
                certificate(path, "localhost")

    def submit(self, recipient: str, text: bytes = LETTER) -> None:
        """A message for our host to send."""
        with smtplib.SMTP("127.0.0.1", self.host.port, timeout=30) as client:
            client.sendmail("joe@here.example", [recipient], text)

    def outcome(self, recipient: str) -> str:
        """What our log says of the first delivery to somebody."""
        begun = rf"starting delivery (\d+): msg \d+ to remote {re.escape(recipient)}\n"
        self.host.wait_for_log("send", begun)
        found = re.search(begun, self.host.log())
        assert found
        self.host.wait_for_log("send", f"\ndelivery {found[1]}: [sdf]")
        line = re.search(f"\ndelivery {found[1]}: ([sdf].*)", self.host.log())
        assert line
        return line[1]

    def mail(self, count: int) -> list[bytes]:
        """What came for joe, taken away."""
        messages = self.joe.wait_for_mail(count)
        for path in (self.joe.home / "Maildir/new").iterdir():
            path.unlink()
        return messages
