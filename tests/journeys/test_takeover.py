"""A queue that C qmail has left, in all its states, goes on under our programs, and back again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import cqmail
from conftest import BIN, needs_root
from qmail.formats import cdb
from sending import Sending

pytestmark = needs_root

EACH = 125  # messages in each of the four states: 500
OLD = 40 * 3600.0

Expected = set[tuple[int, str]]


class Left:
    """What a C system has left in its queue: recipients still to be served, and messages never accepted."""

    def __init__(self, home: Path) -> None:
        self.queue = cqmail.Queue(home)
        self.local: Expected = set()
        self.remote: Expected = set()
        self.never_old: set[int] = set()
        self.never_fresh: set[int] = set()

    def fill(self) -> Left:
        for i in range(EACH):
            self.arriving(i)
            self.intended(i)
            self.accepted(i)
            self.preprocessed(i)
        return self

    def arriving(self, i: int) -> None:
        """S2: fresh or old, written to its end or not."""
        age = OLD if i % 2 else 0
        (self.never_old if i % 2 else self.never_fresh).add(
            self.queue.arriving(b"Subject: %d\n" % i * (i % 3), age=age)
        )

    def intended(self, i: int) -> None:
        """S3: the envelope may be torn."""
        age = OLD if i % 2 else 0
        number = self.queue.intended(b"Subject: %d\n\nx\n" % i, b"never@a.example", [b"never@here.example"], age=age)
        if i % 3 == 0:
            self.queue.file("intd", number, b"u0\0p1\0Fnev", age=age)
        (self.never_old if i % 2 else self.never_fresh).add(number)

    def accepted(self, i: int) -> None:
        """S4: whole; or preprocessed half by a qmail-send that was killed; or with intd/N gone already."""
        recipients = [b"good-%d-%d@here.example" % (i, k) for k in range(1 + i % 3)]
        far = [b"good@far%d.example" % i] if i % 2 else []
        number = self.queue.waiting(b"Subject: s4 %d\n\nx\n" % i, b"s@a.example", recipients + far)
        if i % 5 == 1:
            self.queue.file("info", number, b"Fsomebody-else@a.example\0")
            self.queue.file("local", number, b"Tgood-wrong@here.example\0Tgo")
        if i % 5 == 2:
            self.queue.path("intd", number).unlink()
        self.local |= {(number, each.decode()) for each in recipients}
        self.remote |= {(number, each.decode()) for each in far}

    def preprocessed(self, i: int) -> None:
        """S5: some recipients done, on one channel or both; or all of them, and only the removal is left."""
        local = [(b"D" if (i + k) % 3 == 0 else b"T") + b"good-q%d-%d@here.example" % (i, k) for k in range(i % 4)]
        remote = [(b"D" if (i + k) % 2 == 0 else b"T") + b"good@q%d-%d.example" % (i, k) for k in range(i % 3)]
        number = self.queue.queued(b"Subject: s5 %d\n\nx\n" % i, b"s@a.example", local, remote)
        self.local |= {(number, each[1:].decode()) for each in local if each[:1] == b"T"}
        self.remote |= {(number, each[1:].decode()) for each in remote if each[:1] == b"T"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return cqmail.make(tmp_path / "qmail")


@pytest.fixture
def taken(old: Path) -> Iterator[tuple[Left, Sending]]:
    """The queue, and the home that was taken over; not started yet."""
    left = Left(old).fill()
    mount = cqmail.picture(old / "queue")
    takeover(old)
    after = cqmail.picture(old / "queue")
    assert {name: after[name] for name in mount} == mount
    sending = Sending(old)
    yield left, sending
    sending.close()


def takeover(home: Path) -> None:
    done = subprocess.run(
        [BIN / "qmail", "takeover", "--services", home / "none"], env={"QMAIL_HOME": str(home)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def orders(sending: Sending, spawner: str) -> list[tuple[int, str]]:
    """(message, recipient) of every delivery that was ordered."""
    lines = [line.split(" ") for line in sending.record(spawner).read_text("latin-1").splitlines()]
    return [(int(line[0].rpartition("/")[2]), line[-1]) for line in lines]


def retry_all(sending: Sending) -> None:
    sending.signal(signal.SIGALRM)


def test_each_remaining_recipient_is_served_exactly_once_and_what_was_never_accepted_never(
    taken: tuple[Left, Sending],
) -> None:
    left, sending = taken
    sending.start()
    retry_all(sending)
    sending.until(
        "all that was accepted is done, and what is old and was never accepted is gone",
        lambda: {int(name.partition("/")[2]) for name in sending.files()} == left.never_fresh,
    )
    for spawner, expected in (("lspawn", left.local), ("rspawn", left.remote)):
        counts = Counter(orders(sending, spawner))
        assert set(counts) == expected
        assert set(counts.values()) == {1}
    assert left.never_old and left.never_fresh
    assert sending.stop() == 0


def test_after_a_kill_in_the_middle_nobody_is_left_out_and_nobody_served_three_times(
    taken: tuple[Left, Sending],
) -> None:
    left, sending = taken
    sending.start()
    retry_all(sending)
    sending.until("some deliveries", lambda: len(orders(sending, "lspawn")) >= 100)
    sending.signal(signal.SIGKILL)
    assert sending.ended() == -signal.SIGKILL
    sending.start()
    retry_all(sending)
    # What was being removed when it was killed may stay in mess/ for 36 hours.
    sending.until("everything is done", lambda: not set(sending.kinds()) - {"mess", "intd"})
    for spawner, expected in (("lspawn", left.local), ("rspawn", left.remote)):
        counts = Counter(orders(sending, spawner))
        assert set(counts) == expected
        assert max(counts.values()) <= 2
    assert sending.stop() == 0


def test_given_back_in_the_middle_the_queue_is_what_our_qmail_send_left(taken: tuple[Left, Sending]) -> None:
    left, sending = taken
    sending.start()
    sending.until("some deliveries", lambda: len(orders(sending, "lspawn")) >= 50)
    assert sending.stop() == 0
    before = cqmail.picture(sending.home / "queue")
    done = subprocess.run(
        [BIN / "qmail", "giveback"], env={"QMAIL_HOME": str(sending.home)}, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    after = cqmail.picture(sending.home / "queue")
    assert {name: seen for name, seen in before.items() if name.partition("/")[0] not in ("bad", "spare")} == after
    served = set(orders(sending, "lspawn")) | set(orders(sending, "rspawn"))
    assert (left.local | left.remote) - served == remaining(left.queue) - served
    assert not served & marked_to_do(left.queue)
    assert (sending.home / "bin/qmail-queue").stat().st_mode & 0o7777 == 0o4711
    assert not [name for name in ("qq", "qs", "qr", "qp", "ql", "qt", "qc", "lib") if (sending.home / name).exists()]


def test_real_deliveries_go_on_with_the_users_aliases_and_defaults_that_were_there(old: Path) -> None:
    home = old.parent / "joe"
    home.mkdir()
    os.chown(home, 4242, 4242)
    for part in ("", "tmp", "new", "cur"):
        (home / "Maildir" / part).mkdir(mode=0o700)
        os.chown(home / "Maildir" / part, 4242, 4242)
    (home / ".qmail-list").write_text("./box\n")
    (old / "users/cdb").write_bytes(
        cdb.make([(b"!joe\0", b"joe\0004242\0004242\0%b\0\0" % os.fsencode(home)),
                  (b"!joe-", b"joe\0004242\0004242\0%b\0-\0" % os.fsencode(home)), (b"", b"-")])
    )  # fmt: skip
    queue = cqmail.Queue(old)
    queue.queued(b"Subject: five\n\nx\n", b"a@b", [b"Tjoe@here.example", b"Djoe-list@here.example"])
    queue.waiting(b"Subject: four\n\nx\n", b"a@b", [b"joe@here.example", b"joe-list@here.example"])
    takeover(old)
    sending = Sending(old, stand_ins=False)
    try:
        sending.start("./Maildir/")
        retry_all(sending)
        sending.submit("a@b", ["joe@here.example"], b"Subject: new\n\nx\n")
        sending.until("all is delivered", lambda: not sending.files())
        assert sending.stop() == 0
        arrived = [path.read_bytes() for path in (home / "Maildir/new").iterdir()]
        assert sorted(text.partition(b"Subject: ")[2][:4] for text in arrived) == [b"five", b"four", b"new\n"]
        assert (home / "box").read_bytes().count(b"Subject: four") == 1
        assert b"five" not in (home / "box").read_bytes()
    finally:
        sending.close()


def remaining(queue: cqmail.Queue) -> Expected:
    """Who is still to be served, as a C qmail-send would read the queue."""
    todo = set()
    for path in (queue.root / "todo").iterdir():
        todo |= {(int(path.name), each[1:].decode()) for each in records(path) if each[:1] == b"T"}
    return todo | marked_to_do(queue)


def marked_to_do(queue: cqmail.Queue) -> Expected:
    waiting = set(os.listdir(queue.root / "todo"))
    return {
        (int(path.name), each[1:].decode())
        for kind in ("local", "remote")
        for path in (queue.root / kind).rglob("*")
        if path.is_file() and path.name not in waiting
        for each in records(path)
        if each[:1] == b"T"
    }


def records(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\0")[:-1]
