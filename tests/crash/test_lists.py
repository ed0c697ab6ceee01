"""Every call of the ezmlm programs that changes a list fails once, and is the last one once.

Whatever happens: no subscriber is lost, no archived message is written over, no number is given twice to messages
that subscribers may have seen, and the next try does all of it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN
from listing import HOST, Listing

pytestmark = [pytest.mark.prove, pytest.mark.timeout(300)]

MOST = 600  # calls of one kind; the interpreter itself makes some hundred
CALLS = ("openat", "write", "fsync", "rename", "unlink", "mkdir", "fchmod")
POST = b"Received: x; 1 Jan 2020 00:00:00 -0000\nFrom: joe@a.example\nSubject: two\n\n" + b"words\n" * 2_000


class Place:
    """A list that has sent one message, to be made anew for each try."""

    def __init__(self, top: Path) -> None:
        self.listing, self.log, self.model = Listing(top), top / "log", top / "model"
        self.listing.subscribe("ann@b.example", "bob@c.example")
        self.listing.post("one")
        shutil.copytree(self.listing.path, self.model)
        (top / "post").write_bytes(POST)
        self.message = top / "post"

    def renew(self) -> None:
        """As in the beginning; nothing is queued."""
        shutil.rmtree(self.listing.path)
        shutil.copytree(self.model, self.listing.path)
        for kept in self.listing.keeper.place.iterdir():
            shutil.rmtree(kept)

    def run(self, words: list[str], *injection: str) -> int:
        """Run a program on the list, under strace where something is to go wrong."""
        strace = ["strace", "-y", "-qq", "-o", str(self.log), *injection] if injection else []
        environment = {
            "PATH": f"{BIN}:/usr/bin:/bin", "QMAILQUEUE": str(self.listing.keeper.path), "HOST": HOST,
            "QMAIL_HOME": str(self.listing.place), "SENDER": "joe@a.example", "DEFAULT": "1-bob=c.example",
            "LOCAL": "sos-return-1-bob=c.example",
        }  # fmt: skip
        argv = [*strace, str(BIN / words[0]), str(self.listing.path), *words[1:]]
        with open(self.message, "rb") as file:
            return subprocess.run(argv, stdin=file, capture_output=True, env=environment, timeout=60).returncode

    def first(self, words: list[str], call: str) -> int:
        """The number of the first call of this kind on the list; one that is never reached where there is none."""
        self.renew()
        self.run(words, "-e", f"trace={call}")
        lines = [line for line in self.log.read_text().splitlines() if line.startswith(f"{call}(")]
        return next((at for at, line in enumerate(lines, 1) if str(self.listing.path) in line), MOST)

    def struck(self, words: list[str], call: str) -> Iterator[int]:
        """The exit code with the first, second ... call failing, and then killing, until none is reached."""
        # A death at openat is one at the call before or behind it.
        for what in ("error=ENOSPC",) if call == "openat" else ("error=ENOSPC", "signal=KILL"):
            for number in range(self.first(words, call), MOST, 2 if call == "openat" else 1):
                self.renew()
                code = self.run(words, "-e", f"trace={call}", "-e", f"inject={call}:{what}:when={number}")
                log = self.log.read_text()
                if "INJECTED" not in log and "killed by SIGKILL" not in log:
                    break
                assert code in (0, 99, 111, -9, 137), (call, what, number)
                yield code


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("call", CALLS)
def test_a_message_is_sent_under_a_number_of_its_own(place: Place, call: str) -> None:
    listing = place.listing
    one = (listing.path / "archive/0/01").read_bytes()
    for code in place.struck(["ezmlm-send"], call):
        sent = [envelope for _, envelope in listing.sent]
        assert len(sent) == 1 if code == 0 else len(sent) <= 1
        assert (listing.path / "archive/0/01").read_bytes() == one
        assert place.run(["ezmlm-send"]) == 0
        numbers = [envelope.split("-")[2] for _, envelope in listing.sent]
        assert len(set(numbers)) == len(numbers) == len(sent) + 1
        for number in numbers:
            copy = listing.path / f"archive/0/{int(number):02}"
            assert copy.stat().st_mode & 0o100 and copy.read_bytes().endswith(POST[-1000:])
        assert (listing.path / "num").read_text().split(":")[0] == numbers[-1]
        index = (listing.path / "archive/0/index").read_text()
        assert [line.split(":")[0] for line in index.splitlines()[::2]][-1] == numbers[-1]


@pytest.mark.parametrize("call", CALLS)
def test_subscribers_stay(place: Place, call: str) -> None:
    listing = place.listing
    old = {"ann@b.example", "bob@c.example"}
    for code in place.struck(["ezmlm-sub", "eve@d.example", "joe@a.example"], call):
        found = listing.subscribers()
        assert old <= found <= old | {"eve@d.example", "joe@a.example"}
        assert code != 0 or len(found) == 4
        assert place.run(["ezmlm-sub", "eve@d.example", "joe@a.example"]) == 0
        assert len(listing.subscribers()) == 4


@pytest.mark.parametrize("call", CALLS)
def test_a_notice_is_kept(place: Place, call: str) -> None:
    listing = place.listing
    for code in place.struck(["ezmlm-return"], call):
        assert code != 0
        assert place.run(["ezmlm-return"]) == 99
        assert b"   1\n" in b"".join(
            path.read_bytes() for path in (listing.path / "bounce/h").rglob("h*") if path.is_file()
        )
        sent = len(listing.sent)
        assert listing.run("ezmlm-warn", "-t", "0", str(listing.path)).returncode == 0
        assert len(listing.sent) in (sent + 1, sent + 2)
