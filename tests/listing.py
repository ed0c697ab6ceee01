"""A mailing list whose programs are run as qmail-local runs them, with a queue program that keeps what it is given."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from conftest import BIN
from keeping import Keeper

HOST = "x.example"


class Listing:
    """The list sos@x.example in a directory of its own."""

    def __init__(self, place: Path, *options: str, make: bool = True) -> None:
        self.place, self.path, self.dot = place, place / "sos", place / ".qmail-sos"
        self.keeper = Keeper(place)
        if make:
            done = self.run("ezmlm-make", *options, str(self.path), str(self.dot), "sos", HOST)
            assert done.returncode == 0, done.stderr

    def run(self, name: str, *arguments: str, text: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
        """Run a program; the message is a file on descriptor 0. Variables: `sender` for SENDER and so on."""
        environment = {
            "PATH": f"{BIN}:/usr/bin:/bin", "QMAILQUEUE": str(self.keeper.path), "QMAIL_HOME": str(self.place),
        }  # fmt: skip
        environment |= {name.upper(): value for name, value in more.items()}
        message = self.place / "message"
        message.write_bytes(text)
        with open(message, "rb") as file:
            return subprocess.run(
                [BIN / name, *arguments], stdin=file, capture_output=True, env=environment, cwd=self.place, timeout=60
            )

    def code(self, name: str, *arguments: str, text: bytes = b"", **more: str) -> int:
        """The same on this list, and its exit code."""
        return self.run(name, *arguments, str(self.path), text=text, **more).returncode

    def command(
        self, command: str, sender: str = "joe@a.example", *options: str, text: bytes = b"Subject: x\n\nbody\n"
    ) -> list[tuple[str, str]]:
        """Write to sos-COMMAND; what is answered. A refusal is no answer."""
        before = len(self.sent)
        done = self.run("ezmlm-manage", *options, str(self.path), text=text, sender=sender, default=command)
        assert done.returncode in (0, 100), done.stderr
        return self.sent[before:]

    @property
    def sent(self) -> list[tuple[str, str]]:
        """What was queued as a whole: text and envelope (`|` for NUL)."""
        kept = [
            (text.decode("latin-1"), envelope.decode("latin-1").replace("\0", "|"))
            for text, envelope in self.keeper.kept
        ]
        return [(text, envelope) for text, envelope in kept if envelope.endswith("||")]

    def subscribers(self, *database: str) -> set[str]:
        """Who is on the list."""
        done = self.run("ezmlm-list", str(self.path), *database)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.decode("latin-1").split("\n")) - {""}

    def subscribe(self, *words: str) -> None:
        """Put them on the list by hand."""
        done = self.run("ezmlm-sub", str(self.path), *words)
        assert done.returncode == 0, done.stderr

    def post(
        self, subject: str = "hello", body: str = "words\n", sender: str = "joe@a.example", head: str = ""
    ) -> bytes:
        """A message to everybody; what ezmlm-send said, which took it."""
        text = f"Received: (qmail); 1 Jan 2020 00:00:00 -0000\nFrom: Joe <{sender}>\nSubject: {subject}\n{head}\n{body}"
        done = self.run("ezmlm-send", str(self.path), text=text.encode(), sender=sender, local="sos", host=HOST)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def files(self) -> dict[str, bytes]:
        """Everything in the directory."""
        found = (Path(top) / name for top, _, names in os.walk(self.path) for name in names)
        return {str(path.relative_to(self.path)): path.read_bytes() for path in found}


def reply_to(text: str) -> str:
    """What stands behind `sos-` in the address to answer to."""
    found = re.search(r'^Reply-To: "?sos-(.+?)"?@x\.example$', text, re.M)
    assert found, text
    return found[1].replace("\\", "")
