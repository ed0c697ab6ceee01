"""What is recorded of a whole system: `system_driver.py TOP WORKLOAD`, after `system_driver.py TOP prepare`.

Message number k says `message-k` in its text and in its sender. joe and ann have Maildirs; mail for
ann-later is deferred until the file `ready` is there; far.example is never reached.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent / "src")]

from conftest import BIN  # noqa: E402
from journeys.conftest import FIRST_UID, Host, User, eventually  # noqa: E402
from submitting import Talk, message  # noqa: E402

KINDS = ("pid", "mess", "intd", "todo", "info", "local", "remote", "bounce", "bad")
NAME = "here.example"
HERE = b"@here.example"
JOE, ANN, LATER, NOBODY, FAR = b"joe" + HERE, b"ann" + HERE, b"ann-later" + HERE, b"nobody" + HERE, b"x@far.example"


def prepare(top: Path) -> Host:
    """A host below `top`, with everything but running programs."""
    from qmail.stores.installation import create

    home = top / "home"
    create(os.fsencode(home))
    (home / "bin").rmdir()
    (home / "bin").symlink_to(BIN)
    host = Host(home, NAME)
    # Nothing listens there: every attempt is deferred.
    host.control("smtproutes", "far.example:127.0.0.1:1")
    host.control("queuelifetime", "600000000")
    joe, ann = host.user("joe"), host.user("ann")
    joe.file(".qmail-default", "./Maildir/\n")
    ann.file(".qmail-later", "|test -f ready || exit 111\n./Maildir/\n")
    host.assign()
    return host


def found(top: Path) -> Host:
    """The host that `prepare` made."""
    host = Host(top / "home", NAME)
    for number, name in enumerate(("joe", "ann")):
        uid = FIRST_UID + number if os.geteuid() == 0 else os.geteuid()
        host.users.append(User(name, uid, uid, top / f"{NAME}-{name}"))
    return host


def places(top: Path) -> list[Path]:
    """The directories whose every change counts: the queue but its locks, and the users' homes."""
    queue = [top / "home" / "queue" / kind for kind in KINDS]
    return [*queue, top / f"{NAME}-joe", top / f"{NAME}-ann"]


def start(host: Host) -> None:
    """qmail-queued and qmail-start."""
    host.run("queued", "qmail-queued")
    eventually("the socket of qmail-queued", lambda: (host.home / "qq/socket").exists())
    begin_sending(host)


def begin_sending(host: Host) -> None:
    """qmail-start alone."""
    before = host.log().count("status: local") if (host.home / "send.log").exists() else 0
    host.run("send", "qmail-start", "./Maildir/")
    host.wait_for_log("send", "status: local", before + 1)


def try_again(host: Host, until: Callable[[], bool]) -> None:
    """Have all deferred messages tried at once, also those that are deferred only now."""

    def asked() -> bool:
        host.services["send"].send_signal(signal.SIGALRM)
        time.sleep(0.05)
        return until()

    eventually("what was deferred", asked, lambda: host.log()[-2000:])


def frames(number: int, *recipients: bytes, sender: bytes = b"") -> bytes:
    """The frames of message `number`."""
    text = b"Subject: message-%d\n\n" % number + b"message-%d\n" % number * 4
    sender = sender or b"message-%d@far.example" % number
    return message(text, b"F%b\0" % sender + b"".join(b"T%b\0" % one for one in recipients) + b"\0")


def accept(host: Host, *messages: bytes) -> None:
    """Hand over messages at the same time."""
    talks = [Talk(host.home) for _ in messages]
    for talk, one in zip(talks, messages, strict=True):
        talk.say(one)
    for talk in talks:
        assert talk.answer()[0] == b"0"
        talk.close()


def at_once(host: Host) -> None:
    """Messages that the first attempt delivers, one alone, and some together, one of them to two people."""
    accept(host, frames(0, JOE))
    host.users[0].wait_for_mail(1)
    accept(host, frames(1, JOE), frames(2, ANN), frames(3, JOE, ANN))
    host.users[0].wait_for_mail(3)
    host.users[1].wait_for_mail(2)
    host.wait_for_empty_queue()


def later(host: Host) -> None:
    """Messages that the first attempt does not end: some recipients done, some deferred, a restart, and then all."""
    joe, ann = host.users
    accept(host, frames(0, JOE, LATER), frames(1, LATER, FAR))
    joe.wait_for_mail(1)
    host.wait_for_log("send", "deferral: ", 3)
    assert host.stop_service("send") == 0
    ann.file("ready", "")
    begin_sending(host)
    try_again(host, lambda: len(ann.mail()) == 2)
    eventually("the end of message 0", lambda: len(list((host.home / "queue/info").rglob("*/[0-9]*"))) == 1)


def wide(host: Host) -> None:
    """More recipients than a first attempt is made for."""
    accept(host, frames(0, *(b"joe-%d" % number + HERE for number in range(18))))
    host.users[0].wait_for_mail(18)
    host.wait_for_empty_queue()


def bounces(host: Host) -> None:
    """Recipients that fail, in a first attempt, and in a message that goes on after it."""
    joe, ann = host.users
    accept(host, frames(0, NOBODY, JOE, sender=b"joe-message-0" + HERE))
    joe.wait_for_mail(2)
    host.wait_for_empty_queue()
    accept(host, frames(1, NOBODY, LATER, sender=b"joe-message-1" + HERE))
    host.wait_for_log("send", "deferral: ")
    ann.file("ready", "")
    try_again(host, lambda: len(joe.mail()) == 3)
    host.wait_for_empty_queue()


def renumbered(host: Host) -> None:
    """On a small disk a number is used again: for mail to us only, to others only, and to us again."""
    ann = host.users[1]
    numbers = []
    for number, recipient in enumerate((LATER, b"message-1@far.example", LATER)):
        (ann.home / "ready").unlink(missing_ok=True)
        # What fails with this sender is thrown away, and the log says so.
        accept(host, frames(number, recipient, sender=b"" if recipient == LATER else b"#@[]"))
        host.wait_for_log("send", "deferral: ", number + 1)
        (name,) = [path.name for path in (host.home / "queue/mess").rglob("*") if path.is_file()]
        numbers.append(name)
        ann.file("ready", "")
        for info in (host.home / "queue/info").rglob("*/[0-9]*"):
            os.utime(info, (1, 1))  # too old to be tried once more, if it fails again
        try_again(host, lambda name=name: host.log().count(f"end msg {name}\n") == numbers.count(name))
    accept(host, frames(3, JOE))
    host.users[0].wait_for_mail(1)
    host.wait_for_empty_queue()
    print(len(set(numbers)), "numbers for", len(numbers), "messages")


WORKLOADS = {work.__name__: work for work in (at_once, later, wide, bounces, renumbered)}


if __name__ == "__main__":
    if sys.argv[2] == "prepare":
        prepare(Path(sys.argv[1]))
        sys.exit()
    system = found(Path(sys.argv[1]))
    try:
        start(system)
        WORKLOADS[sys.argv[2]](system)
    finally:
        system.stop()
