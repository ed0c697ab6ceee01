"""What is recorded of acceptance: qmail-queued alone."""

from __future__ import annotations

import os
import signal
import subprocess

from conftest import BIN
from crash import system_driver
from crash.system_driver import ANN, JOE, accept, frames, say, say_numbers
from journeys.conftest import Host
from submitting import Talk, frame


def one_by_one(host: Host) -> None:
    """Two messages, one after the other."""
    system_driver.start_queued(host)
    accept(host, frames(0, JOE))
    accept(host, frames(1, JOE))


def batch(host: Host, count: int = 4) -> None:
    """Messages that become complete at the same moment, after one that came before."""
    system_driver.start_queued(host)
    accept(host, frames(0, JOE))
    # Everything arrives while it cannot look.
    pid = int((host.home / "qq/lock").read_text().split()[0])
    talks = [Talk(host.home) for _ in range(count)]
    os.kill(pid, signal.SIGSTOP)
    for number, talk in enumerate(talks, 1):
        talk.say(frames(number, JOE))
    os.kill(pid, signal.SIGCONT)
    for talk in talks:
        assert talk.answer()[0] == b"0"


def pair(host: Host) -> None:
    """Two messages of one batch, too few to sync everything for."""
    batch(host, 2)


def large(host: Host) -> None:
    """A message that is streamed, and written out in the middle, and a small one meanwhile."""
    system_driver.start_queued(host)
    slow, quick = Talk(host.home), Talk(host.home)
    text = frames(0, JOE, lines=8_000)
    slow.say(text[:100_000])
    quick.say(frames(1, JOE))
    assert quick.answer()[0] == b"0"
    slow.say(text[100_000:])
    assert slow.answer()[0] == b"0"


def refused(host: Host) -> None:
    """Messages that come to nothing beside one that is accepted."""
    system_driver.start_queued(host)
    talk = Talk(host.home)
    talk.say(frames(0, JOE, lines=4_000)[: -len(frame(b"."))] + frame(b"A"))
    assert talk.answer()[0] == b"54"
    talk.say(frames(1, JOE, end=b"X\0"))
    assert talk.answer()[0] == b"91"
    gone = Talk(host.home)
    gone.say(frames(2, JOE, lines=4_000)[:60_000])
    talk.say(frames(3, JOE))
    assert talk.answer()[0] == b"0"
    gone.close()
    talk.say(frames(4, JOE))
    assert talk.answer()[0] == b"0"


def reuse(host: Host) -> None:
    """A message is removed as qmail-send removes it, and the next one gets its number."""
    system_driver.start_queued(host)
    clean = subprocess.Popen(
        [str(BIN / "qmail-clean")], env=host.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert clean.stdin
    assert clean.stdout
    numbers = []
    for number, recipient in enumerate((JOE, ANN, JOE)):
        accept(host, frames(number, recipient))
        (name,) = os.listdir(host.home / "queue/todo")
        numbers.append(name)
        say(f"given up {number}")
        clean.stdin.write(b"todo/%b\0" % name.encode())
        assert clean.stdout.read(1) == b"+"
        todo = os.open(host.home / "queue/todo", os.O_RDONLY)
        os.fsync(todo)
        os.close(todo)
        clean.stdin.write(b"foop/%b\0" % name.encode())
        assert clean.stdout.read(1) == b"+"
    accept(host, frames(3, ANN))
    clean.stdin.close()
    assert clean.wait(20) == 0
    say_numbers(numbers)
