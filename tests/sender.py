"""qmail-send's part in front of a spawner."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from pathlib import Path

from conftest import BIN, have_users
from qmail.protocols import spawn


class Sender:
    """qmail-send's part: gives orders, reads reports."""

    def __init__(self, home: Path, *argv: str, wide: bool = False, user: int | None = None, **environ: str) -> None:
        """Start `argv` (default: qmail-rspawn as its user), as `user`."""
        self.home, self.wide = home, wide
        as_root = os.geteuid() == 0
        argv = argv or ("qmail-rspawn",)
        whom: str | int | None = user
        if as_root and argv[0] == "qmail-rspawn":
            whom = "qmailr"
        environment = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home), **environ}
        if wide:
            environment["QMAILSPAWN"] = "wide"
        self.process = subprocess.Popen(
            [str(home / "bin" / argv[0]), *argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
            user=whom, group="qmail" if whom == "qmailr" else user, extra_groups=[] if as_root else None,
        )  # fmt: skip
        self.user = user
        self.reader = spawn.Reports()

    def message(self, number: int, text: bytes = b"Subject: t\n\nhello\n") -> bytes:
        """Put a message into the queue; its name below queue/mess/."""
        name = f"{number % 23}/{number}"
        path = self.home / "queue/mess" / name
        path.write_bytes(text)
        if os.geteuid() == 0 and have_users():
            shutil.chown(path, self.user or "qmailq", self.user or "qmail")
        return name.encode()

    def order(self, *orders: tuple[int, bytes, bytes, bytes] | tuple[int, bytes, bytes, bytes, bytes]) -> None:
        """Give these orders (number, message, sender, recipient, perhaps parameters) in one write."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(spawn.order(spawn.Order(*each), self.wide) for each in orders))
        self.process.stdin.flush()

    def reports(self, count: int) -> dict[int, bytes]:
        """The next `count` reports."""
        assert self.process.stdout is not None
        found: dict[int, bytes] = {}
        while len(found) < count:
            assert select.select([self.process.stdout], [], [], 30)[0], f"no report in time; so far {found}"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, "the spawner has ended"
            found.update(self.reader.feed(data))
        return found

    def end(self) -> int:
        """No more orders; the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(20)
