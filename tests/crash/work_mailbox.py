"""What is recorded of deliveries alone: qmail-local as a program, and as the worker that stays.

Messages with even numbers go to an mbox, those with odd ones to a Maildir.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from conftest import BIN
from crash.system_driver import BOX, HERE, JOE, NAME, TAG, say
from journeys.conftest import Host, User
from sender import Sender

LINES = 40
EARLIER, NEXT = 50, (98, 99)  # a message that was there before; those that come after all
NUMBERS = (*range(10), EARLIER, *NEXT)


def recipient(number: int) -> bytes:
    """Who gets it."""
    return JOE if number % 2 else BOX


def message(number: int) -> bytes:
    """The text of it, as in mess/."""
    mark = b"message-%d %b" % (number, TAG)
    received = b"Received: (qmail %d invoked by uid 0); 1 Jan 2026 00:00:00 -0000\n" % (100_000 + number)
    return received + b"Subject: %b\n\n" % mark + (mark + b"\n") * LINES


def envelope(number: int) -> bytes:
    """What todo/ would say of it."""
    return b"u0\0p%d\0Fmessage-%d@far.example\0T%b\0" % (100_000 + number, number, recipient(number))


def box(user: User) -> Path:
    """The mbox."""
    return user.home / f"Mailbox-{TAG.decode()}"


def deliver(host: Host, *numbers: int, code: int = 0) -> None:
    """By qmail-local, one after the other; each has to return this code."""
    joe = host.users[0]
    for number in numbers:
        to = recipient(number).removesuffix(HERE).decode()
        words = ["joe", str(joe.home), to, "-" * ("-" in to), to.partition("-")[2], NAME]
        file = host.home / "message"
        file.write_bytes(message(number))
        with file.open("rb") as text:
            done = subprocess.run(
                [BIN / "qmail-local", "--", *words, f"message-{number}@far.example", "./Maildir/"],
                stdin=text, env=host.environment, user=joe.uid, group=joe.gid, extra_groups=[], timeout=30,
            )  # fmt: skip
        assert done.returncode == code, done.returncode
        if not code:
            say(f"reported {number}")


def deliver_together(host: Host, *numbers: int) -> None:
    """By a worker, all at the same moment."""
    sender = Sender(host.home, "qmail-lspawn", "./Maildir/")
    orders = [
        (number, sender.message(100 + number, message(number)), b"message-%d@far.example" % number, recipient(number))
        for number in numbers
    ]
    sender.order(*orders)
    for number, report in sender.reports(len(numbers)).items():
        assert report == b"Kdid 1+0+0\n", report
        say(f"reported {number}")
    assert sender.end() == 0


def maildir(host: Host) -> None:
    """Into a Maildir: one after the other, and then some at the same moment."""
    deliver(host, 1, 3)
    deliver_together(host, 5, 7, 9)


def new_box(host: Host) -> None:
    """Into an mbox that is not there yet: one after the other, and then some at the same moment."""
    deliver(host, 0, 2)
    deliver_together(host, 4, 6, 8)


def fill_box(host: Host) -> None:
    """An mbox with a message that was there before, and what a delivery that a crash cut short has left behind it."""
    joe = host.users[0]
    head = b"From message-%d@far.example Thu Jan  1 00:00:00 2026\nReturn-Path: <message-%d@far.example>\n"
    text = head % (EARLIER, EARLIER) + b"Delivered-To: %b\n%b\n" % (BOX, message(EARLIER))
    joe.file(box(joe).name, (text + head % (60, 60) + b"Deliv").decode())


def torn_box(host: Host) -> None:
    """Behind what a crash has left."""
    say(f"reported {EARLIER}")
    deliver(host, 0, 2)


def failing(host: Host) -> None:
    """The disk refuses to keep anything: nothing is reported, and nothing stays."""
    say(f"reported {EARLIER}")
    deliver(host, 0, 1, code=111)
