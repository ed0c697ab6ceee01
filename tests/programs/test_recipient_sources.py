"""Who has a say in whether there is a recipient: lists, the host that has him, a program; and in which order."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, wait_until
from nexthops import Hop
from qmail.protocols import recipients
from qmail.protocols.recipients import TAKEN, TROUBLE, UNKNOWN, UNTOLD

ROOT = os.geteuid() == 0
# A recipient is HOP-PROGRAM-LISTED-NUMBER@DOMAIN: what the host says, the exit code of the program, is he listed.
HOP = {"250": TAKEN, "450": UNTOLD, "550": UNKNOWN}
PROGRAM = {"0": TAKEN, "100": UNKNOWN, "111": TROUBLE, "7": TROUBLE}
DOMAINS = {"listed": (True, False), "asked": (False, True), "both": (True, True), "none": (False, False)}


class Services:
    """qmail-rcptd and those whom it asks."""

    def __init__(self, home: Path, place: Path, hop: Hop) -> None:
        self.home, self.log = home, place / "asked"
        self.log.touch()
        self.log.chmod(0o666)
        script = place / "check"
        pause = "case $((code % 3)) in 0) sleep 0.0$((${#RECIPIENT} % 9));; esac"
        script.write_text(
            "#!/bin/sh\ncode=${RECIPIENT#*-}; code=${code%%[-@]*}\n"
            + f"{pause}\necho $RECIPIENT >>{self.log}\nexit $code\n"
        )
        script.chmod(0o755)
        self.control("me", "here.example")
        self.control("callforward", "asked.example", ".both.example", "both.example")
        self.control("smtproutes", f":[127.0.0.1]:{hop.port}")
        self.control("rcptcheck", str(script))
        self.processes: list[subprocess.Popen[bytes]] = []

    def control(self, name: str, *lines: str) -> None:
        (self.home / "control" / name).write_text("".join(line + "\n" for line in lines))

    def start(self) -> None:
        environ = {"QMAIL_HOME": str(self.home), "PATH": f"{BIN}:/usr/bin:/bin"}
        for user, name, path in (
            ("qmailp", "qmail-rcptd", "qp/rcpt"),
            ("qmailr", "qmail-verifyd", "qr/verify"),
            ("", "qmail-checkd", "qc/check"),
        ):
            who = [BIN / "setuidgid", user] if user and ROOT else []
            process = subprocess.Popen(
                [*who, BIN / name], env=environ, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self.processes.append(process)
            wait_until((self.home / path).exists)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def ask(self, addresses: list[str]) -> list[bytes]:
        found: dict[int, bytes] = {}
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(60)
            asking.connect(str(self.home / "qp/rcpt"))
            asking.sendall(b"".join(recipients.question(tag, text.encode()) for tag, text in enumerate(addresses)))
            reader = recipients.Answers()
            while len(found) < len(addresses):
                found |= dict(reader.feed(asking.recv(65536)))
        return [found[tag] for tag in range(len(addresses))]


@pytest.fixture
def hop() -> Iterator[Hop]:
    with Hop() as one:
        yield one


@pytest.fixture
def services(home: Path, tmp_path: Path, hop: Hop) -> Iterator[Services]:
    one = Services(home, tmp_path, hop)
    yield one
    one.stop()


@pytest.mark.parametrize("seed", [0, *(pytest.param(i, marks=pytest.mark.prove) for i in range(1, 6))])
def test_the_first_in_their_order_who_refuses_or_cannot_tell_counts_whoever_answers_first(
    services: Services, hop: Hop, seed: int
) -> None:
    chance = random.Random(seed)
    wanted: dict[str, bytes] = {}
    listed, asked = [], set()
    for number in range(16):  # no more than can be asked at once
        domain = chance.choice(list(DOMAINS))
        says, code, known = chance.choice(list(HOP)), chance.choice(list(PROGRAM)), chance.random() < 0.7
        address = f"{says}-{code}-{known}-{number}@{domain}.example"
        has_list, is_asked = DOMAINS[domain]
        if has_list and known:
            listed.append(address)
        if has_list and not known:
            wanted[address] = UNKNOWN
            continue
        verdicts = [HOP[says] if is_asked else TAKEN, PROGRAM[code]]
        refusing = [verdict for verdict in verdicts if verdict in (UNKNOWN, TROUBLE)]
        wanted[address] = refusing[0] if refusing else UNTOLD if UNTOLD in verdicts else TAKEN
        if is_asked:
            asked.add(address)
    services.control("relayrecipients", "x@listed.example", "x@both.example", *listed)
    services.start()
    assert dict(zip(wanted, services.ask(list(wanted)), strict=True)) == wanted
    assert set(hop.asked_for()) == asked, "who is not listed, or at another domain, is not asked for"
    programs = services.log.read_text().split()
    assert not any(DOMAINS[each.partition("@")[2][:-8]][0] and "-False-" in each for each in programs)


def test_files_that_cannot_be_read_put_off_those_whom_they_might_be_about(services: Services, hop: Hop) -> None:
    services.control("relayrecipients", "250-0@both.example")
    services.start()
    addresses = ["250-0@both.example", "550-0@both.example", "550-0@asked.example", "250-0@none.example"]
    assert services.ask(addresses) == [TAKEN, UNKNOWN, UNKNOWN, TAKEN]
    for name, verdicts in (
        ("callforward", [TROUBLE, UNKNOWN, TROUBLE, TROUBLE]),
        ("relayrecipients", [TROUBLE] * 4),
        ("rcptcheck", [TROUBLE, UNKNOWN, UNKNOWN, TROUBLE]),
    ):
        path = services.home / "control" / name
        text = path.read_text()
        path.unlink()
        path.mkdir()
        assert services.ask(addresses) == verdicts, name
        path.rmdir()
        path.write_text(text)
    assert services.ask(addresses) == [TAKEN, UNKNOWN, UNKNOWN, TAKEN]


def test_where_nobody_asks_other_hosts_their_recipients_are_taken(services: Services) -> None:
    (services.home / "control/rcptcheck").unlink()
    services.start()
    assert services.ask(["550-0@asked.example"]) == [UNKNOWN]
    services.processes[1].kill()
    services.processes[1].wait()
    assert services.ask(["550-1@asked.example"]) == [UNTOLD]
