"""Policies of MTA-STS that cannot be used, and what holds then: with a real web server, name server and qmail-stsd."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dns.rcode
import pytest

from conftest import open_to_others, wait_until
from nameserver import NameServer
from policyhost import POLICY, PolicyHost, Stsd, World, answer
from securing import Authority

ENFORCE, TESTING = POLICY.format(mode="enforce"), POLICY.format(mode="testing")
FETCHING, CERTIFICATE, INVALID = b"Fsts-policy-fetch-error", b"Fsts-webpki-invalid", b"Fsts-policy-invalid"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(open_to_others(tmp_path_factory.mktemp("t")) / "authority")


@pytest.fixture
def world(home: Path, authority: Authority, tmp_path: Path) -> Iterator[World]:
    names = [f"mta-sts.{name}" for name in ("example.org", *DOMAINS)]
    certificate = authority.certify(tmp_path / "host.pem", *names)
    with NameServer({}) as server, PolicyHost(certificate) as web:
        yield World(home, authority.trust, server, web)


@pytest.fixture
def stsd(world: World) -> Iterator[Stsd]:
    with Stsd(world) as stsd:
        yield stsd


BAD = {
    "redirect": (answer("", status="301 Moved", more="Location: https://127.0.0.1/\r\n"), FETCHING),
    "error": (answer(ENFORCE, status="404 Not Found"), FETCHING),
    "another type": (answer(ENFORCE, kind="text/html"), FETCHING),
    "a megabyte": (answer(ENFORCE + "x: y\n" * 200_000), FETCHING),
    "a megabyte without its length": (
        b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x: y\n" * 200_000, FETCHING,
    ),
    "cut": (answer(ENFORCE)[:-20], FETCHING),
    "no HTTP": (b"220 mx.example.org ESMTP\r\n", FETCHING),
    "words that move the cursor": (b"\x1b[2Jhello\x07\r\n", FETCHING),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n", FETCHING),
    "nothing": (b"", FETCHING),
    "mx: *": (answer(ENFORCE.replace("mx.example.org", "*")), INVALID),
    "another version": (answer(ENFORCE.replace("STSv1", "STSv2")), INVALID),
    "no mode": (answer(ENFORCE.replace("mode", "made")), INVALID),
    "no age": (answer(ENFORCE.replace("604800", "soon")), INVALID),
}  # fmt: skip


DOMAINS = [f"d{i}.example.org" for i in range(len(BAD))]


def test_fault_046_policies_that_are_none_leave_what_was_there(world: World, stsd: Stsd) -> None:
    """Each with nothing in the cache, and some with a policy there."""
    for i, (reply, _) in enumerate(BAD.values()):
        world.names.zone[f"_mta-sts.{DOMAINS[i]}", "TXT"] = ['"v=STSv1; id=1;"']
        world.names.zone[f"mta-sts.{DOMAINS[i]}", "A"] = ["127.0.0.1"]
        world.web.replies[f"mta-sts.{DOMAINS[i]}".encode()] = reply
    for _ in range(2):
        for i, (name, (_, failure)) in enumerate(BAD.items()):
            assert stsd.ask(DOMAINS[i]) == failure, name
    assert len(world.web.asked) == len(BAD), "and it is not asked again at once"
    assert not list((world.home / "sts").iterdir())
    assert stsd.ask() == b"P enforce"
    before = world.file.read_bytes()
    for name, (reply, _) in list(BAD.items())[::4]:
        world.publish("2")
        world.web.reply = reply
        stsd.again()
        assert stsd.ask() == b"P enforce", name
        assert world.file.read_bytes() == before
    assert "warning: the policy of example.org cannot be had: " in stsd.log
    assert "?[2Jhello?" in stsd.log and "\x1b" not in stsd.log


def test_fault_046_a_host_that_cannot_be_reached_or_believed(world: World, stsd: Stsd) -> None:
    world.names.zone["_mta-sts.stranger.example.org", "TXT"] = ['"v=STSv1; id=1;"']
    world.names.zone["mta-sts.stranger.example.org", "A"] = ["127.0.0.1"]
    world.names.zone["_mta-sts.nowhere.example.org", "TXT"] = ['"v=STSv1; id=1;"']
    world.names.zone["_mta-sts.closed.example.org", "TXT"] = ['"v=STSv1; id=1;"']
    world.names.zone["mta-sts.closed.example.org", "A"] = ["127.0.0.2"]
    assert stsd.ask("stranger.example.org") == CERTIFICATE, "its certificate is for another host"
    assert stsd.ask("nowhere.example.org") == FETCHING
    assert stsd.ask("closed.example.org") == FETCHING
    (world.home / "control/tlstrust.pem").unlink()
    assert stsd.ask() == CERTIFICATE, "nobody whom this system trusts has signed it"


def test_fault_046_where_the_dns_cannot_say_what_is_kept_holds(world: World, stsd: Stsd) -> None:
    world.names.codes["_mta-sts.example.org"] = dns.rcode.SERVFAIL
    assert stsd.ask() == b"Z"
    world.names.codes.clear()
    assert stsd.ask() == b"P enforce", "and is asked again at once"
    world.names.codes["_mta-sts.example.org"] = dns.rcode.SERVFAIL
    stsd.again()
    assert stsd.ask() == b"P enforce"


def test_fault_046_a_slow_host_holds_up_nobody_else(
    world: World, stsd: Stsd, authority: Authority, tmp_path: Path
) -> None:
    world.names.zone["_mta-sts.slow.example.org", "TXT"] = ['"v=STSv1; id=1;"']
    world.names.zone["mta-sts.slow.example.org", "A"] = ["127.0.0.2"]
    certificate = authority.certify(tmp_path / "slow.pem", "mta-sts.slow.example.org")
    said: list[bytes] = []
    with PolicyHost(certificate, address="127.0.0.2", port=world.web.port) as slow:
        slow.reply = None
        asking = threading.Thread(target=lambda: said.append(stsd.ask("slow.example.org")))
        asking.start()
        wait_until(lambda: bool(slow.asked))
        assert stsd.ask() == b"P enforce"
        assert not said
        asking.join(30)
        assert said == [b"Z" + FETCHING[1:]], "who asks waits no longer than a few seconds"
        assert stsd.process.poll() is None


def test_fault_046_a_policy_that_changes_is_fetched_and_one_that_is_not_announced_any_more_holds(
    world: World, stsd: Stsd
) -> None:
    assert stsd.ask() == b"P enforce"
    world.publish("1", TESTING)
    stsd.again()
    assert (stsd.ask(), len(world.web.asked)) == (b"P enforce", 1), "the id is the same"
    world.publish("2")
    stsd.again()
    assert (stsd.ask(), len(world.web.asked)) == (b"P testing", 2)
    world.publish("3", POLICY.format(mode="none"))
    stsd.again()
    assert stsd.ask() == b"P none"
    for record in (None, ['"v=STSv1; id=!;"'], ['"v=STSv1; id=5;"', '"v=STSv1; id=6;"']):
        world.names.zone.pop(("_mta-sts.example.org", "TXT"), None)
        if record:
            world.names.zone["_mta-sts.example.org", "TXT"] = record
        stsd.again()
        assert (stsd.ask(), len(world.web.asked)) == (b"P none", 3)
    assert stsd.ask("example.net") == b"N"


def test_fault_046_a_policy_ends_with_its_age_and_is_fetched_anew_before(world: World, stsd: Stsd) -> None:
    assert stsd.ask() == b"P enforce"
    world.grow_old(100_000)
    stsd.again()
    assert stsd.ask() == b"P enforce", "at once, and meanwhile"
    wait_until(lambda: len(world.web.asked) == 2)
    wait_until(lambda: time.time() - world.file.stat().st_mtime < 60)
    world.web.reply = b""
    world.grow_old(600_000)
    stsd.again()
    assert stsd.ask() == b"P enforce"
    wait_until(lambda: len(world.web.asked) == 3)
    world.grow_old(10_000)
    stsd.again()
    assert stsd.ask() == FETCHING
    assert not world.file.exists()
