"""qmail-rcptd, and qmail-lspawn's answers to it: what they say is what a delivery does."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conftest import BIN, Run, wait_until
from qmail.protocols import recipients
from qmail.rules.routing import LOCAL, Routes
from sender import Sender

ROOT = os.geteuid() == 0
FIRST_UID = 4242


class System:
    """Users with homes, a users/cdb, a qmail-lspawn, and a qmail-rcptd to ask."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.assign: list[str] = []
        self.uids: dict[str, int] = {}
        self.told_of: list[str] = []  # local parts that there may be a file for
        self.sender: Sender | None = None
        self.rcptd: subprocess.Popen[bytes] | None = None
        self.socket: socket.socket | None = None
        self._reader = recipients.Answers()
        self.control(me=["here.example"])

    def control(self, **files: list[str]) -> None:
        for name, lines in files.items():
            (self.home / "control" / name).write_text("".join(line + "\n" for line in lines))

    def user(self, name: str, mode: int = 0o700) -> Path:
        place = self.home.parent / name
        place.mkdir()
        place.chmod(mode)
        self.uids[name] = FIRST_UID + len(self.uids) if ROOT else os.geteuid()
        self.own(name)
        return place

    def own(self, name: str) -> None:
        """All that is in this home belongs to its user."""
        place = self.home.parent / name
        for path in (place, *place.rglob("*")) if ROOT else ():
            os.chown(path, self.uids[name], self.uids[name], follow_symlinks=False)

    def line(self, kind: str, address: str, name: str, dash: str = "", ext: str = "") -> None:
        """A line of users/assign: `kind` is = or +."""
        uid = self.uids[name]
        self.assign.append(f"{kind}{address}:{name}:{uid}:{uid}:{self.home.parent / name}:{dash}:{ext}:")

    def start(self) -> None:
        (self.home / "users/assign").write_text("".join(line + "\n" for line in (*self.assign, ".")))
        environment = {"QMAIL_HOME": str(self.home), "PATH": f"{BIN}:/usr/bin:/bin"}
        subprocess.run([BIN / "qmail-newu"], env=environment, check=True)
        self.sender = Sender(self.home, "qmail-lspawn", "./Mailbox", wide=True)
        words = [BIN / "setuidgid", "qmailp", BIN / "qmail-rcptd"] if ROOT else [BIN / "qmail-rcptd"]
        self.rcptd = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL)
        wait_until((self.home / "ql/homes").exists)
        wait_until((self.home / "qp/rcpt").exists)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(self.home / "qp/rcpt"))

    def ask(self, *addresses: bytes) -> list[tuple[int, bytes]]:
        """(index, verdict) of each address, in the order of the answers."""
        assert self.socket is not None
        asking = threading.Thread(
            target=self.socket.sendall,
            args=(b"".join(recipients.question(tag, address) for tag, address in enumerate(addresses)),),
        )
        asking.start()
        found: list[tuple[int, bytes]] = []
        while len(found) < len(addresses):
            data = self.socket.recv(65536)
            assert data, "hung up"
            found += self._reader.feed(data)
        asking.join()
        return found

    def verdicts(self, *addresses: bytes) -> list[bytes]:
        return [verdict for _, verdict in sorted(self.ask(*addresses))]

    def deliver(self, *addresses: bytes) -> list[bytes]:
        """The letter of each report: what qmail-lspawn makes of these addresses."""
        assert self.sender is not None
        message = self.sender.message(1)
        self.sender.order(*((number, message, b"s@a", address) for number, address in enumerate(addresses)))
        reports = self.sender.reports(len(addresses))
        return [
            reports[number][:1] + (b"?" if b"5.1.1" in reports[number] else b"") for number in range(len(addresses))
        ]

    def lookers(self, name: str) -> list[int]:
        """The processes that work for a user."""
        place = os.fsencode(self.home.parent / name)
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] == b"qmail-local" and place in words:
                found.append(int(path.parent.name))
        return found

    def stop(self) -> None:
        if self.socket is not None:
            self.socket.close()
        if self.sender is not None and self.sender.process.poll() is None:
            self.sender.end()
        if self.rcptd is not None:
            self.rcptd.kill()
            self.rcptd.wait()


@pytest.fixture
def system(home: Path) -> Iterator[System]:
    with ExitStack() as stack:
        one = System(home)
        stack.callback(one.stop)
        yield one


PIECES = (
    "joe", "ann", "Joe", "list", "default", "owner", "a", "b", "-", "-", "-", "+", ".", "..", "/", "/..", '"', "\\",
    "%", "@", " ", "=", ":", "é", "|", "*", "qmail", "x" * 60,
)  # fmt: skip
DOMAINS = ("here.example", "HERE.example", "hack.example", "virtual.example", "a.sub.example", "none.example", "")
BREAKS = ("-", "+", ".", "=")


def chosen(random: random.Random, most: int = 5) -> str:
    return "".join(random.choice(PIECES) for _ in range(random.randrange(most)))


def furnish(system: System, random: random.Random) -> Routes:
    """Users, their .qmail files, who has which addresses, and which mail is local: all by chance."""
    (system.home.parent / "secret").touch(0o600)
    for name in ("joe", "ann", "team"):
        break_ = random.choice(BREAKS)
        place = system.user(name, random.choice((0o700, 0o700, 0o755, 0o711, 0o750)))
        for _ in range(random.randrange(12)):
            text = random.choice(("", "-", "-", "-", "+")) + chosen(random, 4)
            if random.random() < 0.5:
                text = text.lower().replace(".", ":")
            if random.random() < 0.3:
                text += random.choice(("default", "-default"))
            path = place / f".qmail{text}"
            kind = random.random()
            if ".." in text or os.path.lexists(path):
                continue  # it may be a link to elsewhere, or wait for a reader
            try:
                path.parent.mkdir(exist_ok=True)
                if kind < 0.1:
                    path.mkdir()
                elif kind < 0.3:
                    path.symlink_to(random.choice((".hidden", ".hidden", "nowhere", ".", "../secret", path.name)))
                elif kind < 0.35:
                    os.mkfifo(path)
                else:
                    path.write_text("# nothing\n")
                    path.chmod(random.choice((0o600, 0o644, 0o700, 0o000, 0o666)))
            except OSError:
                continue
            system.told_of.append(name + break_ + text.lstrip("-+").replace(":", "."))
        (place / ".hidden").write_text("# nothing\n")
        system.own(name)
        system.line("=", name, name)
        system.line("+", name + break_, name, random.choice(("-", "-", "+", "")), random.choice(("", "", "list-")))
    system.line("+", "", "team", "-")  # not the system's user alias, whose home other tests may use meanwhile
    files = {
        "locals": ["here.example", "Hack.example"],
        "percenthack": ["hack.example"],
        "virtualdomains": [
            f"virtual.example:joe{random.choice('-+.')}{chosen(random, 3)}".replace(":", "", 0),
            ".sub.example:ann",
            "joe@none.example:team",
        ],
    }
    if random.random() < 0.3:
        (system.home.parent / "ann").chmod(random.choice((0o1755, 0o777, 0o1700)))
    system.control(**files)
    return Routes(
        b"here.example", *(list(map(os.fsencode, files[name])) for name in ("locals", "percenthack", "virtualdomains"))
    )


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(i, marks=pytest.mark.prove) for i in range(4, 40))])
def test_fault_064_065_066_checker_and_deliverer_agree(system: System, seed: int) -> None:
    chance = random.Random(seed)
    routes = furnish(system, chance)
    system.start()
    addresses = []
    while len(addresses) < 200:
        local = chosen(chance, 7)
        if chance.random() < 0.6:
            local = chance.choice(("joe", "ann", "team")) + chance.choice(BREAKS) + local
        if chance.random() < 0.3 and system.told_of:
            local = chance.choice(system.told_of) + chance.choice(("", "", "-x"))
        domain = chance.choice(DOMAINS)
        addresses.append(os.fsencode(f"{local}@{domain}" if domain else local))
    said = system.verdicts(*addresses)
    routed = [routes.route(address) for address in addresses]
    local = [address for channel, address in routed if channel == LOCAL]
    done = iter(system.deliver(*local))
    counted = {b"taken": 0, b"refused": 0}
    for address, (channel, target), verdict in zip(addresses, routed, said, strict=True):
        if channel != LOCAL:
            assert verdict == recipients.STANDING, address
            continue
        letter = next(done)
        assert (letter == b"D?") == (verdict == recipients.UNKNOWN), (address, target, letter, verdict)
        assert letter[:1] == b"Z" or verdict in (recipients.STANDING, recipients.UNKNOWN), (
            address,
            target,
            letter,
            verdict,
        )
        counted[b"refused" if verdict == recipients.UNKNOWN else b"taken"] += 1
    assert counted[b"taken"], "not all are refused"


def test_a_home_that_does_not_answer_holds_up_nobody_else(system: System) -> None:
    for name in ("joe", "ann"):
        system.user(name)
        system.line("+", name + "-", name, "-")
    system.start()
    assert system.verdicts(b"joe-a", b"ann-a") == [recipients.UNKNOWN] * 2
    (looker,) = system.lookers("joe")
    os.kill(looker, signal.SIGSTOP)
    try:
        answers = system.ask(b"joe-b", b"joe-c", b"ann-b")
        assert answers[0] == (2, recipients.UNKNOWN)
        assert sorted(answers[1:]) == [(0, recipients.UNTOLD), (1, recipients.UNTOLD)]
    finally:
        os.kill(looker, signal.SIGCONT)
    wait_until(lambda: system.verdicts(b"joe-b") == [recipients.UNKNOWN])


def test_a_minute_has_six_thousand_questions_for_homes(system: System) -> None:
    system.user("joe")
    system.line("+", "joe-", "joe", "-")
    system.start()
    for start in (0, 3000):
        assert set(system.verdicts(*(b"joe-%d" % i for i in range(start, start + 3000)))) == {recipients.UNKNOWN}
    assert system.verdicts(*(b"joe-x%d" % i for i in range(10))) == [recipients.UNTOLD] * 10
    assert system.verdicts(b"joe-5") == [recipients.UNKNOWN], "what is known is known"


def test_where_delivery_is_by_other_programs_nothing_is_refused(system: System) -> None:
    system.user("joe")
    system.line("+", "joe-", "joe", "-")
    programs = (system.home / "bin").resolve()
    (system.home / "bin").unlink()
    (system.home / "bin").mkdir()
    for path in programs.iterdir():
        (system.home / "bin" / path.name).symlink_to(path)
    system.start()
    assert system.verdicts(b"joe-a") == [recipients.UNKNOWN]
    for name, address in (("qmail-getpw", b"no-such-user"), ("qmail-local", b"joe-b")):
        (system.home / "bin" / name).unlink()
        (system.home / "bin" / name).write_text("#!/bin/sh\nexit 111\n")
        assert system.verdicts(address) == [recipients.UNTOLD]


def test_nonsense_ends_the_connection_and_nothing_else(system: System) -> None:
    system.start()
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(system.home / "qp/rcpt"))
        other.settimeout(60)
        other.sendall(b"\xff" * 100)
        assert other.recv(1) == b""
    assert system.verdicts(b"x@elsewhere.example") == [recipients.STANDING]


def test_there_is_one_for_a_home(system: System, program: Run) -> None:
    system.start()
    done = program("qmail-rcptd", env={"QMAIL_HOME": str(system.home)})
    assert (done.returncode, b"already running" in done.stderr) == (111, True)
    assert program("qmail-rcptd", "x").returncode == 100


def test_controls_that_cannot_be_read_are_temporary(system: System) -> None:
    system.start()
    assert system.verdicts(b"x@elsewhere.example") == [recipients.STANDING]
    (system.home / "control/virtualdomains").mkdir()
    assert system.verdicts(b"x@elsewhere.example") == [recipients.TROUBLE]
    (system.home / "control/virtualdomains").rmdir()
    assert system.verdicts(b"x@elsewhere.example") == [recipients.STANDING]


def test_recipients_of_other_hosts_are_those_that_are_listed_in_either_file(system: System, program: Run) -> None:
    system.control(
        relayrecipients=["joe@relay.example", "list-default@relay.example"],
        morerelayrecipients=["ann@RELAY.example", "@open.example"],
        rcpthosts=["here.example", "relay.example", "open.example", "other.example"],
    )
    env = {"QMAIL_HOME": str(system.home)}
    assert program("qmail-newmrr", env=env).returncode == 0
    system.start()
    wanted = {
        b"Joe@relay.example": recipients.STANDING, b"ann@relay.example": recipients.STANDING,
        b"list-x@relay.example": recipients.STANDING, b"jim@relay.example": recipients.UNKNOWN,
        b"jim@open.example": recipients.STANDING, b"jim@other.example": recipients.STANDING,
    }  # fmt: skip
    assert system.verdicts(*wanted) == list(wanted.values())
    system.control(relayrecipients=["jim@relay.example"])
    assert system.verdicts(b"joe@relay.example", b"jim@relay.example") == [recipients.UNKNOWN, recipients.STANDING]


def test_a_list_of_recipients_that_fails_is_temporary_for_other_hosts_alone(system: System) -> None:
    system.user("joe")
    system.line("=", "joe", "joe")
    system.start()
    asked = (b"joe@relay.example", b"joe@here.example")
    for name in ("relayrecipients", "morerelayrecipients.cdb"):
        path = system.home / "control" / name
        path.mkdir()
        assert system.verdicts(*asked) == [recipients.TROUBLE, recipients.STANDING]
        path.rmdir()
        path.write_text("jim@relay.example\n")  # as a database: torn
        assert system.verdicts(*asked)[0] == (recipients.TROUBLE if "cdb" in name else recipients.UNKNOWN)
        path.unlink()
    assert system.verdicts(*asked) == [recipients.STANDING] * 2
