"""Reads every mailbox again and again, takes what is there out, and writes down what it was."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from pathlib import Path

from soak.cast import BOUNCES, BOX, FORWARD, POST, PROGRAM
from soak.letters import DELIVERED, NAME, TOLD, Book, Texts
from soak.system import HOST, System

TRACE = re.compile(rb"(?:(?:Return-Path|Delivered-To|Received|Date|Message-ID|From): [^\n]*\n(?:[ \t][^\n]*\n)*)*")
TO = re.compile(rb"^Delivered-To: ([^\n]*)$", re.MULTILINE)
FAILED = re.compile(rb"^<(.*)>:$", re.MULTILINE)
NOTICE, COPY = b"Hi. This is the qmail-send program", b"\n--- Below this line is "


def told(notice: bytes) -> tuple[str, list[str]] | None:
    """The letter that a notice is about, and the recipients that it names; None where it is no notice."""
    said, found, copy = notice.partition(COPY)
    name = NAME.search(copy)
    if NOTICE not in said or not found or name is None:
        return None
    return name[1].decode(), [each.decode("latin-1") for each in FAILED.findall(said)]


class Mailboxes:
    """All of a system's."""

    def __init__(self, system: System, book: Book, texts: Texts) -> None:
        self._system, self._book, self._texts = system, book, texts
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Once more, and no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.2):
                self.look()
            self.look()
        except Exception as error:
            self._book.problem(f"mailboxes cannot be read: {error!r}")
            raise

    def look(self) -> None:
        """Read everything that is there now."""
        for name, user in self._system.users.items():
            for path in files(user.home / "Maildir/new"):
                self._one(name, path)
        for path in files(self._system.users[PROGRAM].home / "done"):
            self._one(PROGRAM, path)
        self._mbox(self._system.users[BOX].home / "Mailbox")

    def _one(self, owner: str, path: Path) -> None:
        text, when = path.read_bytes(), path.stat().st_mtime
        if owner in (BOUNCES, POST):
            self._notice(text, when)
        elif not self._letter(owner, text, when):
            self._book.problem(f"{path} is damaged, or nobody's: {text[:300]!r}")
        path.unlink()

    def _letter(self, owner: str, text: bytes, when: float) -> bool:
        found = NAME.search(text)
        letter = self._book.letters.get(found[1].decode()) if found else None
        if letter is None:
            return False
        whole = self._texts.whole(letter.name) if letter.exact else self._texts.body(letter.name)
        if not text.endswith(whole) or (letter.exact and not TRACE.fullmatch(text[: -len(whole)])):
            return False
        to = [each.decode("latin-1") for each in TO.findall(text)]
        recipient = f"{FORWARD}@{HOST}" if f"{FORWARD}@{HOST}" in to else f"{owner}@{HOST}"
        self._book.ended(letter.name, recipient, DELIVERED, when)
        return True

    def _notice(self, text: bytes, when: float) -> None:
        about = told(text)
        if about is None:
            self._book.problem(f"this is no notice: {text[:500]!r}")
            return
        for recipient in about[1]:
            self._book.ended(about[0], recipient, TOLD, when)

    # ---- mbox

    def _mbox(self, path: Path) -> None:
        """Take everything out, while nobody else may write."""
        if not path.exists():
            return
        with open(path, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text, when = file.readall(), os.fstat(file.fileno()).st_mtime
            file.truncate(0)
        # Every message ends in an empty line, which no other one has before `From `.
        for piece in re.split(rb"\n(?=From |\Z)", text):
            if not piece:
                continue
            message = re.sub(rb"^>(>*From )", rb"\1", piece.partition(b"\n")[2], flags=re.MULTILINE)
            if not self._letter(BOX, message, when):
                self._torn(message)

    def _torn(self, message: bytes) -> None:
        """Not reported as delivered, and so no delivery: only what was killed may leave that."""
        self._book.count("torn")
        if not self._book.kills:
            self._book.problem(f"a message in an mbox is torn, and nobody was killed: {message[:300]!r}")


def files(directory: Path) -> list[Path]:
    """What is in a directory."""
    return [Path(entry.path) for entry in os.scandir(directory)]
