"""A whole system in which something goes wrong, and which is started again where it has ended."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from conftest import wait_until
from crash import system_driver
from crash.disk import snapshot
from crash.system_driver import BOX, FAR, HERE, JOE, LATER, NOBODY, TAG, frames
from journeys.conftest import eventually
from qmail.host.processes import children

CLEANED = 0.2  # seconds; what is there for longer is a leftover
SENDER = b"joe-message-0" + HERE
TEXT = re.compile(rb"(?m)^Subject: message-0 %b\n\n(?:message-0 %b\n){4}" % (TAG, TAG))


class System:
    """A host; one message passes through it, for five people: of each kind of delivery, and of each outcome."""

    def __init__(self, top: Path) -> None:
        self.top, self.host = top, system_driver.prepare(top)
        self.sink = system_driver.connect(self.host)
        self.places = system_driver.places(top)
        self.empty = snapshot(top, *self.places)[0]

    def start(self) -> None:
        """What does not run."""
        services = self.host.services
        if "queued" in services and services["queued"].poll() is not None:
            services.pop("queued").wait()
            system_driver.start_queued(self.host)
        if "queued" not in services:
            system_driver.start(self.host)
        elif services["send"].poll() is not None:
            services.pop("send").wait()
            system_driver.begin_sending(self.host)

    def wipe(self) -> None:
        """No mail, and nobody ready.

        An order to remove mess/N may still be under way: where N had gone before, the next message could have it.
        """
        self.soon(lambda: not self.host.queued(), CLEANED)
        for path in snapshot(self.top, *self.places)[0].keys() - self.empty.keys():
            (self.top / path.decode()).unlink(missing_ok=True)
        self.sink.taken.clear()
        (self.host.home / "send.log").write_text("")

    def pid(self, program: str) -> int:
        """That of a program; of workers the one that delivers for joe, or to other hosts."""
        if program == "qmail-queued":
            return int((self.host.home / "qq/lock").read_text().split()[0])
        send = self.host.services["send"].pid
        if program == "qmail-send":
            return send
        spawner = {"qmail-local": "qmail-lspawn", "qmail-remote": "qmail-rspawn"}.get(program)
        if spawner is None:
            return self._child(send, program)
        if not (found := self._workers(spawner, program)):
            self.warm_up()
            wait_until(lambda: bool(self._workers(spawner, program)))
            found = self._workers(spawner, program)
        return found[0]

    def _child(self, parent: int, program: str) -> int:
        wait_until(lambda: any(_comm(pid) == program for pid in children(parent)))
        return next(pid for pid in children(parent) if _comm(pid) == program)

    def _workers(self, spawner: str, program: str) -> list[int]:
        waiting, found = [self._child(self.host.services["send"].pid, spawner)], []
        while waiting:
            for pid in children(waiting.pop()):
                waiting.append(pid)
                if _comm(pid) == program and _uid(pid) != self.host.users[1].uid:
                    found.append(pid)
        return found

    def warm_up(self) -> None:
        """A message that all goes well with, so that there are workers."""
        system_driver.accept(self.host, frames(0, JOE, FAR))
        eventually("a first message", lambda: self.host.users[0].mail() and self.sink.taken and not self.live())
        self.wipe()

    def hand_over(self) -> bool:
        """The message; until it is taken."""
        try:
            system_driver.accept(self.host, frames(0, JOE, LATER, NOBODY, BOX, FAR, sender=SENDER))
        except (OSError, AssertionError, IndexError):
            return False
        return True

    def outcome(self) -> Counter[str]:
        """Who has it, by now."""
        joe, ann = (user.mail() for user in self.host.users)
        box = self.host.users[0].home / f"Mailbox-{TAG.decode()}"
        told = [text for text in joe if text.startswith(b"Return-Path: <>\n")]
        assert all(NOBODY in text for text in told)
        assert all(TEXT.search(text) for text in (*joe, *ann))
        return Counter(
            {
                "joe": len(joe) - len(told),
                "ann": len(ann),
                "told": len(told),
                "box": len(TEXT.findall(box.read_bytes())) if box.exists() else 0,
                "far": len(self.sink.taken),
            }
        )

    def live(self) -> list[Path]:
        """What the queue still has to do; mess/N alone is a leftover, for another day."""
        return [path for path in self.host.queued() if {"todo", "info"} & set(path.parts)]

    def soon(self, true: Callable[[], bool], seconds: float = 2.0) -> bool:
        """Does it come true within so many seconds?"""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def pass_through(self, met: Callable[[], bool]) -> bool:
        """The message goes its whole way, or as far as something goes wrong. Returns whether it was taken."""
        send = self.host.services["send"]
        if not self.hand_over():
            return False
        self.soon(lambda: "deferral: " in self.host.log() or send.poll() is not None)
        self.host.users[1].file("ready", "")

        def over() -> bool:
            send.send_signal(signal.SIGALRM)
            return met() or send.poll() is not None or not self.live()

        self.soon(over)
        return True

    def finish(self) -> None:
        """In the end: everything arrives, and nothing is left to do."""
        self.host.users[1].file("ready", "")

        def finished() -> bool:
            self.start()  # it may end only now, for want of a helper
            self.host.services["send"].send_signal(signal.SIGALRM)
            time.sleep(0.02)
            return len(+self.outcome()) == 5 and not self.live()

        if not self.soon(finished):
            # What was refused is tried again after 123 seconds; a restart forgets to wait.
            self.host.stop_service("send")
            system_driver.begin_sending(self.host)
        eventually("the end", finished, lambda: f"{self.outcome()} {self.live()}\n{self.host.log()[-3000:]}")
        outcome = self.outcome()
        assert max(outcome[name] for name in ("joe", "ann", "box", "far")) <= 2, f"{outcome}\n{self.host.log()[-3000:]}"
        # A crash may let a notice be told twice, and its message be bounced once more: two notices, none three times.
        told = [text for text in self.host.users[0].mail() if text.startswith(b"Return-Path: <>\n")]
        notices = Counter(text.partition(b"Received: (qmail ")[2].partition(b" ")[0] for text in told)
        assert max(notices.values()) <= 2, self.host.log()[-3000:]
        assert len(notices) <= 2, self.host.log()[-3000:]


def is_dead(pid: int) -> bool:
    """Has this process ended? Its parent may not have noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except OSError:
        return True


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _uid(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return -1
