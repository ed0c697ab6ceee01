"""qmail-lspawn believes a worker nothing but reports on the jobs it gave it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import BIN
from qmail.formats.usersassign import Account
from qmail.host import passing
from qmail.host.loop import Loop
from qmail.programs.deliver.qmail_lspawn import Delivery
from qmail.protocols import localjobs
from qmail.services import local_crews, local_zygote
from qmail.stores.deliveries import Delivery as Order
from qmail.stores.home import Home


class Spawner:
    """What crews ask of qmail-lspawn; keeps the reports."""

    def __init__(self, home: Path, message: Path) -> None:
        self.home, self.default, self.environ = Home(os.fsencode(home)), b"./Mailbox", {}
        self.loop = Loop()
        self.message = message
        self.done: dict[int, Any] = {}

    def open_message(self, delivery: Any) -> bool:
        delivery.order.message = os.open(self.message, os.O_RDONLY)
        return True

    def finished(self, delivery: Any, code: int | None, text: bytes = b"") -> None:
        self.done[delivery.number] = (code, text)

    def report(self, delivery: Any, text: bytes) -> None:
        self.done[delivery.number] = text


class Scene:
    """Crews whose zygote is the test, and whose worker is the test, too."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "bin").symlink_to(BIN)
        (tmp_path / "message").write_text("x\n")
        self.spawner = Spawner(tmp_path, tmp_path / "message")
        ours, self.zygote = passing.pair()
        monkeypatch.setattr(local_zygote, "start", lambda _serve: ours)
        self.crews = local_crews.Crews(self.spawner, None)  # type: ignore[arg-type]

    def deliver(self, *numbers: int) -> None:
        for number in numbers:
            delivery = _delivery(number)
            delivery.account = Account(b"joe", 4242, 4242, b"/joe", b"", b"")
            self.crews.deliver(delivery)
        self.crews.round()

    def become_worker(self) -> tuple[passing.Link, subprocess.Popen[bytes]]:
        """The worker's end of the link, and the process that stands for it."""
        packet, descriptors = self.zygote.receive()
        serial, who = localjobs.parse_worker(packet)
        assert (who.uid, who.gid, who.user, who.home) == (4242, 4242, b"joe", b"/joe")
        process = subprocess.Popen(["sleep", "60"])
        handle = os.pidfd_open(process.pid)
        self.zygote.send(localjobs.started(serial), [handle])
        os.close(handle)
        self.spawner.loop.round(1)
        return passing.link(descriptors[0]), process


def _delivery(number: int) -> Delivery:
    return Delivery(Order(number, b"1/1", b"s@a", b"joe@h"))


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def taken(worker: passing.Link) -> list[int]:
    packet, descriptors = worker.receive()
    passing.close_all(descriptors)
    assert packet[:1] == localjobs.TOGETHER
    return [job.number for job in localjobs.parse_jobs(packet)]


@pytest.mark.parametrize(
    "words",
    [
        localjobs.report(8, 0, b"did 1+0+0\n"),  # nobody's job
        localjobs.report(7, 0, b"") + localjobs.report(7, 0, b""),  # twice
        localjobs.report(7, 0, b"x")[:-1],  # cut short
        b"\xff" * 100,
        b"?",
    ],
)
def test_a_worker_that_says_anything_else_is_ended_and_its_jobs_deferred(scene: Scene, words: bytes) -> None:
    scene.deliver(7)
    worker, process = scene.become_worker()
    assert taken(worker) == [7]
    worker.send(words)
    scene.spawner.loop.round(1)
    assert process.wait(10) == -9
    assert scene.spawner.done.get(7) in ((None, b""), (0, b""))
    assert scene.spawner.done.keys() == {7}


def test_a_worker_cannot_report_before_it_has_a_job_or_after(scene: Scene) -> None:
    scene.deliver(7)
    worker, process = scene.become_worker()
    taken(worker)
    worker.send(localjobs.report(7, 0, b"done"))
    scene.spawner.loop.round(1)
    assert scene.spawner.done == {7: (0, b"done")}
    worker.send(localjobs.report(7, 100, b"never"))
    scene.spawner.loop.round(1)
    assert process.wait(10) == -9
    assert scene.spawner.done == {7: (0, b"done")}


def test_what_waits_goes_to_the_worker_that_is_soon_free_in_one_packet(scene: Scene) -> None:
    scene.deliver(1)
    worker, process = scene.become_worker()
    assert taken(worker) == [1]
    scene.deliver(2, 3, 4)
    worker.send(localjobs.report(1, 0, b""))
    scene.spawner.loop.round(1)
    scene.crews.round()
    assert taken(worker) == [2, 3, 4]
    process.kill()
    process.wait()


def test_a_job_waits_only_a_moment_for_a_worker_that_is_stuck(scene: Scene) -> None:
    scene.deliver(1)
    stuck, process = scene.become_worker()
    taken(stuck)
    scene.deliver(2)
    wait = scene.crews.round()
    assert wait is not None and wait <= 0.01
    scene.spawner.loop.round(wait)
    while scene.crews.round() != 1.0:
        scene.spawner.loop.round(0.01)
    other, second = scene.become_worker()
    assert taken(other) == [2]
    for each in (process, second):
        each.kill()
        each.wait()


def test_a_worker_that_was_never_made_is_a_failed_fork(scene: Scene) -> None:
    scene.deliver(1)
    packet, descriptors = scene.zygote.receive()
    passing.close_all(descriptors)
    scene.spawner.loop.round(1)
    assert packet and scene.spawner.done == {1: b"Zqmail-spawn unable to fork. (#4.3.0)\n"}


def test_where_there_can_be_no_more_workers_programs_deliver(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_crews, "MOST_WORKERS", 1)
    monkeypatch.setattr(local_crews, "PATIENCE", 0.05)
    given: list[int] = []

    class Programs:
        def deliver(self, delivery: Any) -> None:
            given.append(delivery.number)

    scene.crews._programs = Programs()  # type: ignore[assignment]
    scene.deliver(1)
    worker, process = scene.become_worker()
    assert taken(worker) == [1]
    scene.deliver(2)
    while not given:
        scene.crews.round()
        scene.spawner.loop.round(0.01)
    assert given == [2] and not scene.spawner.done
    process.kill()
    process.wait()


def test_the_memory_of_what_needs_a_program_has_an_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_crews, "MOST_ALONE", 10)
    crew = local_crews.Crew(Account(b"joe", 1, 1, b"/joe", b"", b""))
    for number in range(35):
        delivery = _delivery(number)
        delivery.account = Account(b"joe", 1, 1, b"/joe", b"-", b"%d" % number)
        scene.crews._take_back(crew, delivery)
    assert len(crew.needs_alone) <= 10


def test_the_zygote_makes_no_worker_for_root(tmp_path: Path) -> None:
    home = Home(os.fsencode(tmp_path))
    zygote = local_zygote.start(lambda link: local_zygote.zygote(link, b"./Mailbox", home, {}))
    ours, theirs = passing.pair()
    zygote.send(localjobs.worker(1, Account(b"root", 0, 0, b"/root", b"", b"")), [theirs.fileno()])
    theirs.close()
    assert ours.receive_bare() == b"", "nobody has the other end"
    zygote.close()
    os.wait()
