"""qmail-send's part in front of a spawner."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from conftest import BIN, have_users
from qmail.protocols import spawn


class Sender:
    """qmail-send's part: gives orders, reads reports."""

    def __init__(self, home: Path, *, wide: bool = False, **environ: str) -> None:
        self.home, self.wide = home, wide
        environment = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home), **environ}
        if wide:
            environment["QMAILSPAWN"] = "wide"
        self.process = subprocess.Popen(
            [str(BIN / "qmail-rspawn")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
            user="qmailr" if os.geteuid() == 0 else None, group="qmail" if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )  # fmt: skip
        self.reader = spawn.Reports()

    def message(self, number: int, text: bytes = b"Subject: t\n\nhello\n") -> bytes:
        """Put a message into the queue; its name below queue/mess/."""
        name = f"{number % 23}/{number}"
        path = self.home / "queue/mess" / name
        path.write_bytes(text)
        if os.geteuid() == 0 and have_users():
            shutil.chown(path, "qmailq", "qmail")
        return name.encode()

    def order(self, *orders: tuple[int, bytes, bytes, bytes]) -> None:
        """Give these orders (number, message, sender, recipient) in one write."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(spawn.order(spawn.Order(*each), self.wide) for each in orders))
        self.process.stdin.flush()

    def reports(self, count: int) -> dict[int, bytes]:
        """The next `count` reports."""
        assert self.process.stdout is not None
        found: dict[int, bytes] = {}
        while len(found) < count:
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
