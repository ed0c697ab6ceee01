"""Certificates that openssl makes for a test, and a qmail-tlsd that has them."""

from __future__ import annotations

import binascii
import os
import re
import signal
import ssl
import subprocess
from pathlib import Path

from conftest import BIN, wait_until


def certificate(path: Path, name: str, *, bits: int = 0, days: int = 30) -> None:
    """A self-signed certificate for `name` with its key, in one file; `bits` of RSA, else of a curve."""
    path.parent.mkdir(exist_ok=True)
    key, new = path.with_suffix(".key"), path.with_suffix(".new")
    kind = [f"rsa:{bits}"] if bits else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", str(days), "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", new],
        check=True, capture_output=True,
    )  # fmt: skip
    new.chmod(0o600)
    with new.open("ab") as file:
        file.write(key.read_bytes())
    key.unlink()
    os.rename(new, path)


class Authority:
    """Somebody who signs certificates. `trust`: the file with its own, for who trusts it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        place.mkdir()
        (place / "index").touch()
        (place / "conf").write_text(AUTHORITY.format(place=place))
        self.trust = place / "trust.pem"
        subprocess.run(
            ["openssl", "req", "-x509", *_CURVE, "-nodes", "-days", "30", "-subj", "/CN=Authority", "-keyout",
             place / "key", "-out", self.trust], check=True, capture_output=True,
        )  # fmt: skip

    def certify(
        self, path: Path, *names: str, years: tuple[str, str] | None = None, address: str = "127.0.0.1"
    ) -> Path:
        """A certificate for these DNS names and this address, with its key, in one file. `years`: from when to when."""
        request, key, new = (self._place / word for word in ("request", "new.key", "new"))
        others = ",".join(f"DNS:{name}" for name in names)
        subprocess.run(
            ["openssl", "req", "-new", *_CURVE, "-nodes", "-subj", f"/CN={names[0]}", "-addext",
             f"subjectAltName={others},IP:{address}", "-keyout", key, "-out", request], check=True, capture_output=True,
        )  # fmt: skip
        when = ["-startdate", f"{years[0]}0101000000Z", "-enddate", f"{years[1]}0101000000Z"] if years else []
        subprocess.run(
            ["openssl", "ca", "-batch", "-notext", "-config", self._place / "conf", *when, "-in", request, "-out", new],
            check=True, capture_output=True,
        )  # fmt: skip
        new.chmod(0o600)
        with new.open("ab") as file:
            file.write(key.read_bytes())
        path.parent.mkdir(exist_ok=True)
        os.rename(new, path)
        return path

    def cross_signed(self) -> bytes:
        """Its own certificate (PEM) as another one has signed it, who is shown to nobody."""
        key, root, request, new, more = (self._place / f"cross.{word}" for word in ("key", "root", "csr", "new", "ext"))
        more.write_text("basicConstraints=critical,CA:TRUE\n")
        for command in (
            ["req", "-x509", *_CURVE, "-nodes", "-subj", "/CN=Root", "-keyout", key, "-out", root],
            ["x509", "-x509toreq", "-in", self.trust, "-signkey", self._place / "key", "-out", request],
            ["x509", "-req", "-in", request, "-CA", root, "-CAkey", key, "-days", "9", "-extfile", more, "-out", new],
        ):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
        return new.read_bytes()


_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
AUTHORITY = """
[ca]
default_ca = here
[here]
database = {place}/index
new_certs_dir = {place}
certificate = {place}/trust.pem
private_key = {place}/key
rand_serial = yes
default_md = sha256
default_days = 20
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


class Tls:
    """A running qmail-tlsd. `log` is what it has said."""

    def __init__(self, home: Path) -> None:
        self.home, self._log = home, home.parent / "tls.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [BIN / "qmail-tlsd"], env={"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home)}, stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        wait_until(lambda: (home / "qt/socket").exists() or self.process.poll() is not None)
        wait_until(lambda: self.process.poll() is not None or bool(self.children()))
        assert self.process.poll() is None, self.log

    def __enter__(self) -> Tls:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def says(self, words: str, times: int = 1) -> None:
        """Wait for it."""

        def said() -> bool:
            return self.log.count(words) >= times

        wait_until(said)

    def read_again(self) -> None:
        """HUP, and the certificates have been read."""
        before = self.log.count("certificates read")
        self.process.send_signal(signal.SIGHUP)
        self.says("certificates read", before + 1)

    def children(self) -> list[int]:
        """The processes that use the keys."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in text.split()]


def make_old(path: Path) -> None:
    """Let a certificate have ended ten years before its time; its signature, which nobody checks, is wrong."""
    begin, end = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"
    before, _, rest = path.read_text().partition(begin)
    text, _, after = rest.partition(end)
    der = binascii.a2b_base64(text)
    _first, last = re.findall(rb"\x17\x0d(\d{12}Z)", der)
    der = der.replace(last, b"%02d" % (int(last[:2]) - 10) + last[2:])
    path.write_text(before + begin + binascii.b2a_base64(der).decode() + end + after)


def trusting_nobody() -> ssl.SSLContext:
    """A client that looks at no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def names_of(stream: ssl.SSLSocket) -> bytes:
    """The certificate that a client was shown, as bytes in which its names can be found."""
    return stream.getpeercert(binary_form=True) or b""
