"""A view of the system's accounts that a test has for itself: other lists of accounts, in a mount namespace."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from qmail.host import libcrypt

UID = 4301
PASSWORD = b"open sesame"
SETTINGS = {"joe": b"$6$rounds=1000$pepper$", "ann": b"$1$salt$"}
HERE = """
for pair in $VIEW; do mount --bind "${pair%%:*}" "${pair##*:}" || exit 99; done
unset VIEW; exec "$@"
"""


class Accounts:
    """joe and ann have PASSWORD; locked, empty, expired, stale, toor and alien have something else about them.

    `command` is what to run a program with, so that it sees these accounts in place of the system's.
    """

    def __init__(self, place: Path, *, pam: str | None = None, nologin: bool = False) -> None:
        self.place = place
        self.hashes = {name: libcrypt.crypt(PASSWORD, setting) or b"" for name, setting in SETTINGS.items()}
        joe = self.hashes["joe"].decode()
        passwd, shadow = Path("/etc/passwd").read_text(), Path("/etc/shadow").read_text()
        lines = {
            "joe": f"{joe}:20000:0:99999:7:::",
            "ann": f"{self.hashes['ann'].decode()}:20000:0:99999:7:::",
            "locked": f"!{joe}:20000:0:99999:7:::",
            "empty": ":20000:0:99999:7:::",
            "expired": f"{joe}:19000:0:99999:7::19001:",
            "stale": f"{joe}:19000:0:30:7:::",
            "toor": f"{joe}:20000:0:99999:7:::",
            "homeless": f"{joe}:20000:0:99999:7:::",
        }
        for at, (name, line) in enumerate(lines.items()):
            uid = 0 if name == "toor" else UID + at
            home = self.home(name)
            if name != "homeless":
                home.mkdir(exist_ok=True)
                os.chown(home, uid, uid)
            passwd += f"{name}:x:{uid}:{uid}::{home}:/usr/sbin/nologin\n"
            shadow += f"{name}:{line}\n"
        (place / "passwd").write_text(passwd)
        (place / "shadow").write_text(shadow)
        (place / "shadow").chmod(0o600)
        shutil.copytree("/etc/pam.d", place / "pam.d", dirs_exist_ok=True)
        (place / "pam.d/qmail").unlink(missing_ok=True)
        if pam is not None:
            (place / "pam.d/qmail").write_text(pam)
        (place / "run").mkdir(exist_ok=True)
        if nologin:
            (place / "run/nologin").touch()
        self.view = {name: f"/etc/{name}" for name in ("passwd", "shadow", "pam.d")} | {"run": "/run"}

    def home(self, name: str) -> Path:
        """Where somebody lives."""
        return self.place / f"home-{name}"

    def uid(self, name: str) -> int:
        """Somebody's number, and group."""
        return UID + [*SETTINGS, "locked", "empty", "expired", "stale", "toor", "homeless"].index(name)

    @property
    def command(self) -> list[str]:
        """The words in front of a program."""
        view = " ".join(f"{self.place / name}:{target}" for name, target in self.view.items())
        return ["unshare", "--mount", "--propagation", "private", "env", f"VIEW={view}", "sh", "-c", HERE, "sh"]
