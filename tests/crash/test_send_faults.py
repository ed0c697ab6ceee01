"""qmail-send and qmail-clean when the system fails them, at every one of their calls, and when they are killed there.

One message passes through everything: a recipient who gets it, one who is deferred, one who does not
exist. Whatever fails, each gets it or the sender hears of it, and nobody more than twice.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import wait_until
from crash import recording, system_driver
from crash.disk import snapshot
from crash.injecting import failing, injected
from crash.system_driver import HERE, JOE, LATER, NOBODY, frames
from journeys.conftest import eventually
from qmail.host.processes import children

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1200)]

CALLS = (
    "openat", "newfstatat", "write", "pwrite64", "fsync", "fdatasync", "unlink", "rename", "utimensat", "connect",
    "read", "sendmsg", "recvmsg", "sendto", "recvfrom",
)  # fmt: skip
MOST = 400  # calls of one kind
SENDER = b"joe-message-0" + HERE


class System:
    """A host that is started again where it has ended."""

    def __init__(self, top: Path) -> None:
        self.top, self.host = top, system_driver.prepare(top)
        self.places = system_driver.places(top)
        self.empty = snapshot(top, *self.places)[0]

    def start(self) -> None:
        """What does not run."""
        services = self.host.services
        if "queued" not in services:
            system_driver.start(self.host)
        elif services["send"].poll() is not None:
            services.pop("send").wait()
            system_driver.begin_sending(self.host)

    def wipe(self) -> None:
        """No mail, and nobody ready."""
        for path in snapshot(self.top, *self.places)[0].keys() - self.empty.keys():
            (self.top / path.decode()).unlink(missing_ok=True)

    def pid(self, program: str) -> int:
        """That of qmail-send, or of one of its helpers."""
        send = self.host.services["send"].pid
        if program == "qmail-send":
            return send

        def found() -> list[int]:
            return [pid for pid in children(send) if Path(f"/proc/{pid}/comm").read_text() == f"{program}\n"]

        wait_until(lambda: bool(found()))
        return found()[0]

    def hand_over(self) -> None:
        """The message."""
        system_driver.accept(self.host, frames(0, JOE, LATER, NOBODY, sender=SENDER))

    def outcome(self) -> Counter[str]:
        """Who has it, by now."""
        joe, ann = (user.mail() for user in self.host.users)
        told = [text for text in joe if text.startswith(b"Return-Path: <>\n")]
        assert all(NOBODY in text for text in told)
        return Counter({"joe": len(joe) - len(told), "ann": len(ann), "told": len(told)})

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

    def finish(self) -> None:
        """In the end: everything arrives, and nothing is left to do."""
        self.host.users[1].file("ready", "")

        def finished() -> bool:
            self.start()  # it may end only now, for want of a helper
            self.host.services["send"].send_signal(signal.SIGALRM)
            time.sleep(0.05)
            return len(+self.outcome()) == 3 and not self.live()

        if not self.soon(finished):
            # What was refused is tried again after 123 seconds; a restart forgets to wait.
            self.host.stop_service("send")
            system_driver.begin_sending(self.host)
        eventually("the end", finished, lambda: f"{self.outcome()} {self.live()}\n{self.host.log()[-3000:]}")
        assert max(self.outcome()[name] for name in ("joe", "ann")) <= 2, self.host.log()[-3000:]
        # A crash may let a notice be told twice, and its message be bounced once more: two notices, none three times.
        told = [text for text in self.host.users[0].mail() if text.startswith(b"Return-Path: <>\n")]
        notices = Counter(text.partition(b"Received: (qmail ")[2].partition(b" ")[0] for text in told)
        assert max(notices.values()) <= 2, self.host.log()[-3000:]
        assert len(notices) <= 2, self.host.log()[-3000:]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    recording.check_available()
    system = System(tmp_path)
    yield system
    system.host.stop()


def visit(system: System, program: str, how: str, output: Path, met: Callable[[], bool]) -> int:
    """Let every call go wrong once. Returns how many there were."""
    visited = 0
    for call in CALLS:
        for nth in range(1, MOST):
            system.wipe()
            system.start()
            (system.host.home / "send.log").write_text("")
            with failing(system.pid(program), output, call, how, nth):
                pass_through(system, met)
            went_wrong = met()
            system.finish()
            if not went_wrong:
                break
            visited += 1
        else:
            pytest.fail(f"{call}: no end")
    return visited


def pass_through(system: System, met: Callable[[], bool]) -> None:
    """The message goes its whole way, or as far as something goes wrong."""
    send = system.host.services["send"]
    system.hand_over()
    system.soon(lambda: "deferral: " in system.host.log() or send.poll() is not None)
    system.host.users[1].file("ready", "")

    def over() -> bool:
        send.send_signal(signal.SIGALRM)
        return met() or not system.live()

    system.soon(over)


@pytest.mark.parametrize("program", ["qmail-send", "qmail-clean"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_whatever_call_fails_the_message_reaches_everybody(
    system: System, tmp_path: Path, program: str, error: str
) -> None:
    output = tmp_path / "strace"
    visited = visit(system, program, f"error={error}", output, lambda: injected(output))
    print(f"{program}: {visited} calls failed with {error}")
    assert visited > 3


@pytest.mark.parametrize("program", ["qmail-send", "qmail-clean"])
def test_wherever_it_is_killed_the_message_reaches_everybody(system: System, tmp_path: Path, program: str) -> None:
    def met() -> bool:
        return system.host.services["send"].poll() is not None

    visited = visit(system, program, "signal=KILL", tmp_path / "strace", met)
    print(f"{program} was killed at {visited} calls")
    assert visited > 3
