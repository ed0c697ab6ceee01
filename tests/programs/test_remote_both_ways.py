"""qmail-remote by itself and in a process that stays: the reference's recorded cases, and equal reports."""

from __future__ import annotations

import json
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import SHARED, Run
from qmail.formats import remotereport
from scripted import Peer, Step
from sender import Sender

RECORDED = SHARED / "vectors/qmail/cases/qmail-remote.json"
CASES = json.loads(RECORDED.read_text()) if RECORDED.exists() else []
PLAYED = [case for case in CASES if case["argv"][0] == "qmail-remote" and len(case["argv"]) == 4]


def script(case: dict[str, Any]) -> list[Step]:
    steps: list[Step] = []
    for step in case["server"]:
        steps.append(step[1].encode("latin-1") if step[0] == "send" else step[0])
    return steps


def prepare(home: Path, case: dict[str, Any], port: int, dead: int) -> None:
    def filled(text: str) -> bytes:
        return text.replace("@PORT@", str(port)).replace("@DEADPORT@", str(dead)).encode("latin-1")

    for name, text in case["control"].items():
        (home / "control" / name).write_bytes(filled(text))
    for spec in case.get("files", []):
        if spec.get("dir"):
            (home / spec["path"]).mkdir()


def timeouts(home: Path, case: dict[str, Any]) -> None:
    for spec in case.get("files", []):
        for address, count, ago in spec.get("tcpto", []):
            record = socket.inet_aton(address) + struct.pack("<BxxxIxxxx", count, int(time.time()) - ago)
            (home / spec["path"]).write_bytes(record.ljust(1024, b"\0"))


@pytest.mark.parametrize("case", PLAYED, ids=[case["id"] for case in PLAYED])
@pytest.mark.parametrize("way", ["program", "resident"])
def test_the_report_is_that_of_the_reference(home: Path, program: Run, case: dict[str, Any], way: str) -> None:
    _, host, sender, recipient = (word.encode("latin-1") for word in case["argv"])
    message, expected = case["stdin"].encode("latin-1"), case["expect"]["stdout"].encode("latin-1")
    with socket.socket() as dead, Peer(script(case)) as peer:
        dead.bind(("127.0.0.1", 0))
        prepare(home, case, peer.port, dead.getsockname()[1])
        if way == "program":
            timeouts(home, case)
            done = program("qmail-remote", host, sender, recipient, stdin=message, env={"QMAIL_HOME": str(home)})
            assert done.stdout == expected
            assert b"".join(peer.finish()) == case["expect"]["server_got"].encode("latin-1")
        else:
            spawner = Sender(home)
            spawner.order((0, b"9/9", b"", b"x@y"))  # its report says that the spawner has started
            spawner.reports(1)
            timeouts(home, case)
            spawner.order((1, spawner.message(1, message), sender, recipient.partition(b"@")[0] + b"@" + host))
            assert spawner.reports(1) == {1: remotereport.report(0, expected)}
            assert spawner.end() == 0
            said = b"".join(peer.finish()).replace(b"EHLO", b"HELO")
            assert said == case["expect"]["server_got"].encode("latin-1").replace(b"r@example.org", b"r@" + host)


@pytest.mark.skipif(not RECORDED.exists(), reason="needs the recorded cases in ../shared/vectors")
def test_some_cases_are_played() -> None:
    assert len(PLAYED) > 30
