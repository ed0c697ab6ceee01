"""What is recorded: `system_driver.py TOP WORKLOAD`, after `system_driver.py TOP prepare`; and the host it happens on.

Message number k says `message-k` in its text and in its sender, and every text has the word TAG in it. joe and
ann have Maildirs, and joe an mbox; mail for ann-later is deferred until the file `ready` is there, mail for ann-never
until the file `ever` is; mail for ann-failing is deferred, and then fails; what is for far.example goes to a sink.
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
from crash.sink import Sink  # noqa: E402
from journeys.conftest import FIRST_UID, Host, User, eventually  # noqa: E402
from submitting import Talk, message  # noqa: E402

KINDS = ("pid", "mess", "intd", "todo", "spare", "info", "local", "remote", "bounce", "bad")
NAME = "here.example"
HERE = b"@here.example"
TAG = b"s000000"  # stands for the number of a state, where many are looked at together
JOE, ANN, LATER, NOBODY, FAR = b"joe" + HERE, b"ann" + HERE, b"ann-later" + HERE, b"nobody" + HERE, b"x@far.example"
FAILING, NEVER = b"ann-failing" + HERE, b"ann-never" + HERE
BOX = b"joe-box-%b" % TAG + HERE
POSTMASTER = b"joe-double" + HERE


def prepare(top: Path) -> Host:
    """A host below `top`, with everything but running programs."""
    from qmail.stores.installation import create

    home = top / "home"
    create(os.fsencode(home))
    (home / "bin").rmdir()
    (home / "bin").symlink_to(BIN)
    host = Host(home, NAME)
    host.control("queuelifetime", "600000000")
    host.control("doublebounceto", "joe-double")
    joe, ann = host.user("joe"), host.user("ann")
    joe.file(".qmail-default", "./Maildir/\n")
    ann.file(".qmail-later", "|test -f ready || exit 111\n./Maildir/\n")
    ann.file(".qmail-failing", "|test -f ready || exit 111; exit 100\n")
    ann.file(".qmail-never", "|test -f ever || exit 111\n./Maildir/\n")
    add_box(host, TAG.decode())
    host.assign()
    return host


def add_box(host: Host, tag: str) -> None:
    """Let mail for joe-box-TAG go to an mbox of its own."""
    host.users[0].file(f".qmail-box-{tag}", f"./Mailbox-{tag}\n")


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


def connect(host: Host) -> Sink:
    """A sink for what is for far.example; before anything starts."""
    sink = Sink()
    host.control("smtproutes", f"far.example:127.0.0.1:{sink.port}")
    return sink


def start_queued(host: Host) -> None:
    """qmail-queued alone."""
    host.run("queued", "qmail-queued")
    eventually("the socket of qmail-queued", lambda: (host.home / "qq/socket").exists())


def start(host: Host) -> None:
    """qmail-queued and qmail-start."""
    start_queued(host)
    begin_sending(host)


def begin_sending(host: Host) -> None:
    """qmail-start alone."""
    before = host.log().count("status: local") if (host.home / "send.log").exists() else 0
    host.run("send", "qmail-start", "./Maildir/")
    host.wait_for_log("send", "status: local", before + 1)


def try_again(host: Host, until: Callable[[], bool], what: Callable[[], str] | None = None) -> None:
    """Have all deferred messages tried at once, also those that are deferred only now."""

    def asked() -> bool:
        host.services["send"].send_signal(signal.SIGALRM)
        time.sleep(0.05)
        return until()

    eventually("what was deferred", asked, what or (lambda: host.log()[-2000:]))


def frames(number: int, *recipients: bytes, sender: bytes = b"", lines: int = 4, end: bytes = b"\0") -> bytes:
    """The frames of message `number`; another `end` than a NUL spoils the envelope."""
    mark = b"message-%d %b" % (number, TAG)
    text = b"Subject: %b\n\n" % mark + (mark + b"\n") * lines
    sender = sender or b"message-%d@far.example" % number
    return message(text, b"F%b\0" % sender + b"".join(b"T%b\0" % one for one in recipients) + end)


def accept(host: Host, *messages: bytes) -> None:
    """Hand over messages at the same time."""
    talks = [Talk(host.home) for _ in messages]
    for talk, one in zip(talks, messages, strict=True):
        talk.say(one)
    for talk in talks:
        assert talk.answer()[0] == b"0"
        talk.close()


def say_numbers(numbers: list[str]) -> None:
    """For whoever wants to know whether a number was used again."""
    say(f"{len(set(numbers))} numbers for {len(numbers)} messages")


def say(line: str) -> None:
    """One line in the recording, and on standard output."""
    os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    from crash.workloads import WORKLOADS

    if sys.argv[2] == "prepare":
        spare = prepare(Path(sys.argv[1])).home / "queue/spare"
        if sys.argv[3:] == ["plain"]:  # every message has files of its own
            spare.rmdir()
            spare.touch()
        sys.exit()
    system = found(Path(sys.argv[1]))
    try:
        WORKLOADS[sys.argv[2]].work(system)
    finally:
        system.stop()
