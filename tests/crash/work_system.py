"""What is recorded of whole systems, from the acceptance of messages to mailboxes and to another host."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import termios
import time
from pathlib import Path

from crash import system_driver
from crash.system_driver import (
    ANN,
    BOX,
    FAILING,
    FAR,
    HERE,
    JOE,
    LATER,
    NEVER,
    NOBODY,
    accept,
    frames,
    say_numbers,
    try_again,
)  # fmt: skip
from journeys.conftest import Host, eventually
from qmail.formats.besides import extension
from qmail.formats.mailparameters import FAILURE, SUCCESS, Parameters, Wish
from qmail.host.processes import children

SYNCS = {"x86_64": ("74", "306"), "aarch64": ("82", "267")}  # the numbers of fsync and syncfs, as in /proc/PID/syscall


def at_once(host: Host) -> None:
    """Messages that the first attempt delivers, one alone, and some together, one of them to two people."""
    system_driver.start(host)
    accept(host, frames(0, JOE))
    host.users[0].wait_for_mail(1)
    accept(host, frames(1, JOE), frames(2, ANN), frames(3, JOE, ANN))
    host.users[0].wait_for_mail(3)
    host.users[1].wait_for_mail(2)
    host.wait_for_empty_queue()


def finished(host: Host) -> None:
    """A message that gets files, for somebody here and somebody elsewhere; TERM; all that follows until it is gone."""
    sink = system_driver.connect(host)
    sink.ready = False
    system_driver.start(host)
    accept(host, frames(0, LATER, FAR))
    host.wait_for_log("send", "deferral: ", 2)
    assert host.stop_service("send") == 0
    sink.ready = True
    host.users[1].file("ready", "")
    system_driver.begin_sending(host)
    try_again(host, lambda: bool(host.users[1].mail() and sink.taken))
    host.wait_for_empty_queue()


def later(host: Host) -> None:
    """Messages that the first attempt does not end: some recipients done, some deferred, TERM, and then all."""
    sink = system_driver.connect(host)
    sink.ready = False
    joe, ann = host.users
    system_driver.start(host)
    accept(host, frames(0, JOE, LATER), frames(1, LATER, FAR))
    joe.wait_for_mail(1)
    host.wait_for_log("send", "deferral: ", 3)
    assert host.stop_service("send") == 0
    ann.file("ready", "")
    system_driver.begin_sending(host)
    try_again(host, lambda: len(ann.mail()) == 2)
    eventually("the end of message 0", lambda: len(list((host.home / "queue/info").rglob("*/[0-9]*"))) == 1)


def wide(host: Host) -> None:
    """More recipients, here and elsewhere, than a first attempt is made for."""
    sink = system_driver.connect(host)
    system_driver.start(host)
    here = [b"joe-%d" % number + HERE for number in range(10)]
    there = [b"x%d@far.example" % number for number in range(8)]
    accept(host, frames(0, *here, *there))
    host.users[0].wait_for_mail(10)
    eventually("all taken over", lambda: sum(len(recipients) for _, recipients in sink.taken) == 8)
    host.wait_for_empty_queue()


def bounces(host: Host) -> None:
    """Recipients that fail, in a first attempt, and in a message that goes on after it; an mbox; a double bounce."""
    joe, ann = host.users
    system_driver.start(host)
    accept(host, frames(0, NOBODY, BOX, sender=b"joe-message-0" + HERE))
    joe.wait_for_mail(1)
    host.wait_for_empty_queue()
    accept(host, frames(1, NOBODY, LATER, BOX, sender=b"joe-message-1" + HERE))
    host.wait_for_log("send", "deferral: ")
    ann.file("ready", "")
    try_again(host, lambda: len(joe.mail()) == 2)
    host.wait_for_empty_queue()
    accept(host, frames(2, NOBODY, sender=b"nobody-message-2" + HERE))
    joe.wait_for_mail(3)
    host.wait_for_empty_queue()


def reported(host: Host) -> None:
    """Messages whose sender wants to hear of successes: in a first attempt, and after it, beside failures."""
    joe, ann = host.users
    system_driver.start(host)
    asked = Parameters(b"HDRS", b"id", wishes={JOE: Wish(SUCCESS), NOBODY: Wish(SUCCESS | FAILURE)})
    behind = b"\0" + extension(asked)
    accept(host, frames(0, JOE, NOBODY, sender=b"joe-message-0" + HERE, end=behind))
    joe.wait_for_mail(3)
    host.wait_for_empty_queue()
    behind = b"\0" + extension(Parameters(wishes={LATER: Wish(SUCCESS), FAILING: Wish(FAILURE)}))
    accept(host, frames(1, LATER, FAILING, sender=b"joe-message-1" + HERE, end=behind))
    host.wait_for_log("send", "deferral: ", 2)
    ann.file("ready", "")
    try_again(host, lambda: len(joe.mail()) == 5)
    host.wait_for_empty_queue()


def failing(host: Host) -> None:
    """Recipients that fail before and after the message got files, and others that are done while it waits."""
    sink = system_driver.connect(host)
    sink.ready = False
    joe, ann = host.users
    system_driver.start(host)
    first = frames(0, NOBODY, LATER, FAILING, NEVER, FAR, sender=b"joe-message-0" + HERE)
    accept(host, first, frames(1, FAILING, NEVER, sender=b"joe-message-1" + HERE))
    host.wait_for_log("send", "deferral: ", 6)
    ann.file("ready", "")
    try_again(host, lambda: bool(ann.mail()))
    host.wait_for_log("send", "failure: ", 3)
    time.sleep(1.5)  # what was marked is synced a second later; nothing says so
    ann.file("ever", "")
    sink.ready = True
    try_again(host, lambda: len(ann.mail()) == 3 and len(joe.mail()) == 2)
    host.wait_for_empty_queue()


def make_spare(host: Host) -> int:
    """A message comes and goes, after which there is a spare: it serves all that come one by one. Returns 1."""
    accept(host, frames(9, JOE))
    host.users[0].wait_for_mail(1)
    host.wait_for_empty_queue()
    return 1


def killed(host: Host, *, spare: bool = False) -> None:
    """qmail-send dies after todo/N went and before it knows; the next one ends the message; its number comes again."""
    system_driver.start(host)
    joe, ann = host.users
    before = make_spare(host) if spare else 0
    send = host.services["send"].pid
    (clean,) = [pid for pid in children(send) if open(f"/proc/{pid}/comm").read() == "qmail-clean\n"]
    os.kill(clean, signal.SIGSTOP)
    accept(host, frames(0, LATER))
    numbers = os.listdir(host.home / "queue/todo")
    host.wait_for_log("send", "deferral: ")
    eventually("the order todo/N", lambda: unread(clean))
    os.kill(send, signal.SIGSTOP)
    os.kill(clean, signal.SIGCONT)
    eventually("todo/N to go", lambda: not os.listdir(host.home / "queue/todo"))
    assert host.stop_service("send", signal.SIGKILL)
    ann.file("ready", "")
    system_driver.begin_sending(host)
    try_again(host, lambda: bool(ann.mail()))
    host.wait_for_empty_queue()
    accept(host, frames(1, JOE))
    host.wait_for_log("send", "new msg ", before + 2)
    numbers += re.findall(r"new msg (\d+)", host.log())[before + 1 :]
    joe.wait_for_mail(before + 1)
    host.wait_for_empty_queue()
    say_numbers(numbers)


def killed_ending(host: Host) -> None:
    """qmail-send dies when the files of a message are gone, and not yet durably; what is left of it is old then."""
    sink = system_driver.connect(host)
    sink.ready = False
    joe, ann = host.users
    system_driver.start(host)
    accept(host, frames(0, LATER, NOBODY, FAR, sender=b"joe-message-0" + HERE))
    host.wait_for_log("send", "deferral: ", 2)
    eventually("files of its own", lambda: list((host.home / "queue/info").rglob("*/[0-9]*")))
    (info,) = (host.home / "queue/info").rglob("*/[0-9]*")
    eventually("todo/N to go", lambda: not os.listdir(host.home / "queue/todo"))
    sink.ready = True
    ann.file("ready", "")
    host.services["send"].send_signal(signal.SIGALRM)
    send = host.services["send"].pid
    # The names are gone, and the first sync is about to begin.
    while info.exists() or Path(f"/proc/{send}/syscall").read_text().split()[0] not in SYNCS[os.uname().machine]:
        time.sleep(0.001)
    os.kill(send, signal.SIGKILL)
    host.stop_service("send")
    mess = host.home / "queue/mess" / info.parent.name / info.name
    os.utime(mess, (1, 1))
    system_driver.begin_sending(host)
    eventually("the leftover to go", lambda: not mess.exists())
    joe.wait_for_mail(1)


def renumbered(host: Host, *, spare: bool = False) -> None:
    """A number is used again: for mail to us only, to others only, and to us again."""
    sink = system_driver.connect(host)
    ann = host.users[1]
    system_driver.start(host)
    before = make_spare(host) if spare else 0
    numbers = []
    for number, recipient in enumerate((LATER, b"message-1@far.example", LATER)):
        (ann.home / "ready").unlink(missing_ok=True)
        sink.ready = False
        accept(host, frames(number, recipient))
        host.wait_for_log("send", "deferral: ", number + 1)
        (name,) = [path.name for path in (host.home / "queue/mess").rglob("*") if path.is_file()]
        numbers.append(name)
        ann.file("ready", "")
        sink.ready = True
        try_again(host, lambda name=name: host.log().count(f"end msg {name}\n") == numbers.count(name))
        host.wait_for_empty_queue()
    accept(host, frames(3, JOE))
    host.users[0].wait_for_mail(before + 1)
    host.wait_for_empty_queue()
    say_numbers(numbers)


def raced(host: Host, *, spare: bool = False) -> None:
    """The next message gets the number, its note and the trigger come, before it is known that the old one is gone."""
    system_driver.start(host)
    joe, ann = host.users
    before = make_spare(host) if spare else 0
    send = host.services["send"].pid
    (clean,) = [pid for pid in children(send) if open(f"/proc/{pid}/comm").read() == "qmail-clean\n"]
    numbers = []
    for number, recipient in enumerate((JOE, ANN, JOE)):
        os.kill(clean, signal.SIGSTOP)
        accept(host, frames(number, recipient))
        eventually("the order todo/N", lambda: unread(clean))
        numbers += os.listdir(host.home / "queue/todo")
        os.kill(send, signal.SIGSTOP)
        os.kill(clean, signal.SIGCONT)
        eventually("todo/N to go", lambda: not os.listdir(host.home / "queue/todo"))
        os.kill(clean, signal.SIGSTOP)
        os.kill(send, signal.SIGCONT)
        eventually("the order foop/N", lambda: unread(clean))
        os.kill(send, signal.SIGSTOP)
        os.kill(clean, signal.SIGCONT)
        eventually("mess/N to go", lambda: not list((host.home / "queue/mess").rglob("*/[0-9]*")))
        accept(host, frames(number + 10, JOE if recipient == ANN else ANN))
        with open(host.home / "queue/lock/trigger", "wb", buffering=0) as trigger:
            trigger.write(b"\0")
        numbers += os.listdir(host.home / "queue/todo")
        os.kill(send, signal.SIGCONT)
        there = before + 2 * number + 2
        eventually("both", lambda there=there: len(joe.mail()) + len(ann.mail()) == there)
        host.wait_for_empty_queue()
    say_numbers(numbers)


def unread(pid: int) -> bool:
    """Is there something on a process's standard input that it has not read?"""
    with open(f"/proc/{pid}/fd/0", "rb", buffering=0, opener=lambda p, _: os.open(p, os.O_RDONLY | os.O_NONBLOCK)) as f:
        (count,) = struct.unpack("i", fcntl.ioctl(f, termios.FIONREAD, struct.pack("i", 0)))
    return bool(count)
