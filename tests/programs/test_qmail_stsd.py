"""qmail-stsd and who asks it: clients that misbehave, limits, and its beginning and end. tests/faults has the rest."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Run, open_to_others, wait_until
from nameserver import NameServer
from policyhost import POLICY, PolicyHost, Stsd, World
from qmail.programs.deliver.qmail_stsd import MOST_FETCHES
from securing import Authority

LIMIT = 30  # seconds for anything
SLOW = [f"d{i}.slow.example.org" for i in range(MOST_FETCHES + 3)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates."""
    place = open_to_others(tmp_path_factory.mktemp("t"))
    authority = Authority(place / "authority")
    authority.certify(place / "host.pem", "mta-sts.example.org")
    authority.certify(place / "slow.pem", "mta-sts.slow.example.org")
    return place


@pytest.fixture
def world(home: Path, place: Path) -> Iterator[World]:
    with NameServer({}) as names, PolicyHost(place / "host.pem") as web:
        yield World(home, place / "authority/trust.pem", names, web)


@pytest.fixture
def stsd(world: World) -> Iterator[Stsd]:
    with Stsd(world) as stsd:
        yield stsd


def client(stsd: Stsd, *packets: bytes) -> socket.socket:
    """One that has said this."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.settimeout(LIMIT)
    made.connect(str(stsd.world.home / "qr/sts"))
    for packet in packets:
        made.send(packet)
    return made


def children(stsd: Stsd) -> list[int]:
    """The processes that fetch, and the one that looks names up."""
    pid = stsd.process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    "packet", [b"Example.org", b"org", b"../control/me", b"a/b.example", b"\0", b"x" * 300, b".new", b"a.b\n"]
)
def test_nonsense_ends_the_connection_and_nothing_else(stsd: Stsd, packet: bytes) -> None:
    with client(stsd, packet) as nonsense:
        assert nonsense.recv(99) == b""
    assert stsd.ask() == b"P enforce"
    assert [path.name for path in (stsd.world.home / "sts").iterdir()] == ["example.org"]


def test_one_question_at_a_time_and_who_hangs_up_is_forgotten(world: World, stsd: Stsd) -> None:
    world.web.reply = None
    with client(stsd, b"example.org") as first, client(stsd, b"example.org"):
        wait_until(lambda: bool(world.web.asked))
        first.send(b"example.org")
        assert first.recv(99) == b"", "two questions at once"
    assert stsd.ask("example.net") == b"N"
    assert len(world.web.asked) == 1, "who asks for the same waits for the same"


def test_no_more_than_so_many_are_fetched_at_once(world: World, stsd: Stsd, place: Path) -> None:
    for name in SLOW:
        world.names.zone[f"_mta-sts.{name}", "TXT"] = ['"v=STSv1; id=1;"']
        world.names.zone[f"mta-sts.{name}", "A"] = ["127.0.0.2"]
    with socket.create_server(("127.0.0.2", world.web.port)):  # which never shakes hands
        asking = [client(stsd, name.encode()) for name in SLOW]
        wait_until(lambda: len(children(stsd)) == MOST_FETCHES + 1)
        assert stsd.ask("example.net") == b"N", "who has no policy is told so meanwhile"
        assert len(children(stsd)) == MOST_FETCHES + 1
        resolving, *fetching = children(stsd)
        for pid in fetching:
            os.kill(pid, signal.SIGKILL)
        for each in asking[:MOST_FETCHES]:
            assert each.recv(99) == b"Fsts-policy-fetch-error"
        for each in asking:
            each.close()
    assert stsd.ask() == b"P enforce"
    assert resolving in children(stsd)


def test_qmail_tlspolicy_says_what_a_policy_demands(world: World, stsd: Stsd, program: Run) -> None:
    world.names.zone["example.org", "MX"] = ["10 mx.example.org.", "20 mx.example.net."]
    world.names.zone |= {("mx.example.org", "A"): ["203.0.113.1"], ("mx.example.net", "A"): ["203.0.113.2"]}
    said = program("qmail-tlspolicy", "example.org", env=world.environ).stdout.decode().splitlines()
    assert said[0].endswith(": by TLS, with a certificate for its name that this system trusts (MTA-STS)")
    assert said[1].startswith("    mx.example.org: the same")
    assert said[2] == "    mx.example.net: nothing goes there: the policy (MTA-STS) of the domain does not name it"
    world.publish("2", POLICY.format(mode="testing"))
    stsd.again()
    said = program("qmail-tlspolicy", "example.org", env=world.environ).stdout.decode().splitlines()
    assert said[0] == "example.org: by TLS if it is offered; a policy (MTA-STS) is being tested"


def test_a_policy_that_was_removed_is_unknown(world: World, stsd: Stsd) -> None:
    assert stsd.ask() == b"P enforce"
    world.file.write_bytes(b"id: 1\nnonsense\n")
    assert stsd.ask() == b"N"
    assert not world.file.exists()
    stsd.again()
    assert stsd.ask() == b"P enforce"


def test_how_it_begins_and_ends(world: World, stsd: Stsd, program: Run) -> None:
    environ = {"QMAIL_HOME": str(world.home)}
    done = program("qmail-stsd", env=environ)
    assert (done.returncode, done.stderr) == (111, b"qmail-stsd: fatal: qmail-stsd is already running\n")
    stsd.stop()
    assert program("qmail-stsd", "-i", "0", env=environ).returncode == 0
    assert program("qmail-stsd", "-x", env=environ).returncode == 100
    (world.home / "sts").rmdir()
    done = program("qmail-stsd", env=environ)
    assert done.returncode == 111 and b"unable to read" in done.stderr
