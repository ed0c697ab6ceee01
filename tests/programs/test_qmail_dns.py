"""qmail-dns: what it answers, remembers and survives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from conftest import BIN, TOP, Run
from nameserver import NameServer
from qmail.protocols import dnsquery
from qmail.protocols.dnsquery import (
    ADDRESSES4,
    ADDRESSES6,
    EXCHANGERS,
    FOUND,
    NAMELESS,
    NOTHING,
    POINTERS,
    SERVICES,
    TEXTS,
    TLSA,
    TROUBLE,
)
from qmail.stores.home import Home
from qmail.stores.names import Names

ZONE = {
    ("example.org", "MX"): ["10 MX1.example.org.", "20 mx2.example.org."],
    ("example.org", "TXT"): ['"v=spf1 " "-all"'],
    ("mx1.example.org", "A"): ["192.0.2.1", "192.0.2.2"],
    ("mx1.example.org", "AAAA"): ["2001:db8::1"],
    ("alias.example.org", "CNAME"): ["mx1.example.org."],
    ("loop.example.org", "CNAME"): ["loop.example.org."],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["MX1.Example.org."],
    ("_25._tcp.mx1.example.org", "TLSA"): ["3 1 1 00ff"],
    ("_pop3s._tcp.example.org", "SRV"): ["0 1 995 MX1.example.org."],
    ("big.example.org", "A"): [f"192.0.{i // 256}.{i % 256}" for i in range(300)],
    ("odd.example.org", "MX"): [r"10 a\.b\032\200.example.org."],
}


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(dict(ZONE)) as server:
        yield server


class Service:
    """A qmail-dns that runs, and a client of it."""

    def __init__(self, home: Path, server: NameServer, *arguments: str) -> None:
        self.home = home
        environ = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin", **server.environ}
        self.process = subprocess.Popen([str(BIN / "qmail-dns"), *arguments], env=environ)
        path = home / "qr/dns"
        eventually(path.is_socket)
        self.names = Names(Home(os.fsencode(home)), {b"DNSCACHEIP": b"127.0.0.1@1"})

    def ask(self, kind: bytes, name: bytes) -> dnsquery.Answer:
        return self.names.ask([(kind, name)])[0]


@pytest.fixture
def service(home: Path, server: NameServer) -> Iterator[Service]:
    service = Service(home, server)
    yield service
    service.names.close()
    service.process.terminate()
    service.process.wait()


def eventually(what: Callable[[], object]) -> None:
    limit = time.monotonic() + 15
    while not what():
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "name", "records"),
    [
        (EXCHANGERS, b"example.org", [b"\0\x0amx1.example.org", b"\0\x14mx2.example.org"]),
        (EXCHANGERS, b"EXAMPLE.org.", [b"\0\x0amx1.example.org", b"\0\x14mx2.example.org"]),
        (ADDRESSES4, b"mx1.example.org", [b"\xc0\0\2\1", b"\xc0\0\2\2"]),
        (ADDRESSES6, b"alias.example.org", [b"\x20\x01\x0d\xb8" + bytes(11) + b"\1"]),
        (TEXTS, b"example.org", [b"v=spf1 -all"]),
        (POINTERS, b"\xc0\0\2\1", [b"mx1.example.org"]),
        (TLSA, b"_25._tcp.mx1.example.org", [b"\3\1\1\0\xff"]),
        (SERVICES, b"_pop3s._tcp.example.org", [b"\0\0\0\1\3\xe3mx1.example.org"]),
        (EXCHANGERS, b"odd.example.org", [b"\0\x0a" + rb"a\056b\040\310.example.org"]),
    ],
)
def test_every_kind_of_question_is_answered(service: Service, kind: bytes, name: bytes, records: list[bytes]) -> None:
    answer = service.ask(kind, name)
    assert answer.status == FOUND
    assert sorted(answer.records) == records
    assert not answer.authentic


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        (EXCHANGERS, b"mx1.example.org", NOTHING),
        (ADDRESSES4, b"none.example.org", NAMELESS),
        (ADDRESSES4, b"a..b", NAMELESS),
        (ADDRESSES4, b"x" * 64, NAMELESS),
        (ADDRESSES4, b"x." * 130, NAMELESS),
        (ADDRESSES4, b"\\", NAMELESS),
        (POINTERS, b"12345", NAMELESS),
        (ADDRESSES4, b"loop.example.org", TROUBLE),
    ],
)
def test_missing_is_told_from_trouble(service: Service, kind: bytes, name: bytes, status: bytes) -> None:
    assert service.ask(kind, name).status == status


def test_fault_085_a_cut_reply_is_fetched_by_tcp(service: Service, server: NameServer) -> None:
    assert len(service.ask(ADDRESSES4, b"big.example.org").records) == 300
    assert server.over_tcp == 1


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_fault_085_a_server_that_cannot_say_is_trouble_and_no_answer(home: Path, code: dns.rcode.Rcode) -> None:
    with NameServer(ZONE, codes={"example.org": code}) as server:
        service = Service(home, server)
        assert service.ask(EXCHANGERS, b"example.org").status == TROUBLE
        assert service.ask(ADDRESSES4, b"mx1.example.org").status == FOUND
        service.process.terminate()
        service.process.wait()


def twisted(home: Path, twist: Callable[[NameServer, dns.message.Message], bytes | None], *, tcp: bool = True) -> bytes:
    """The status of an answer where replies by UDP are twisted."""
    server = NameServer(dict(ZONE), tcp=tcp)
    server.twists["mx1.example.org"] = lambda query: twist(server, query)
    with server:
        service = Service(home, server)
        try:
            return service.ask(ADDRESSES4, b"mx1.example.org").status
        finally:
            service.process.terminate()
            service.process.wait()


def test_fault_085_replies_with_a_wrong_id_or_question_are_no_answers(home: Path) -> None:
    def forged(server: NameServer, query: dns.message.Message) -> bytes:
        wrong = server.reply(query)
        wrong.id ^= 1
        server.datagrams.sendto(wrong.to_wire(), ("127.0.0.1", max(server.ports)))
        other = dns.message.make_query("evil.example.org", "A", id=query.id)
        forged = dns.message.make_response(other)
        for port in server.ports:
            server.datagrams.sendto(forged.to_wire(), ("127.0.0.1", port))
        return server.reply(query).to_wire()

    assert twisted(home, forged) == FOUND


def test_fault_085_nonsense_is_trouble(home: Path) -> None:
    assert twisted(home, lambda server, query: query.id.to_bytes(2, "big") + b"\x80" + b"\xff" * 40) == TROUBLE


def test_fault_085_a_cut_reply_without_tcp_is_trouble(home: Path) -> None:
    def cut(server: NameServer, query: dns.message.Message) -> bytes:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.TC
        return reply.to_wire()

    assert twisted(home, cut, tcp=False) == TROUBLE


def test_fault_085_a_silent_server_is_given_up(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from qmail.stores import resolver

    monkeypatch.setattr(resolver, "PATIENCE", (0.05, 0.05))
    server.twists["mx1.example.org"] = lambda _: None
    environ = {name.encode(): value.encode() for name, value in server.environ.items()}
    (answer,) = resolver.ask([(ADDRESSES4, b"mx1.example.org")], environ)
    assert answer.status == TROUBLE


def test_fault_085_what_waits_behind_a_silent_server_has_its_turn(home: Path, server: NameServer) -> None:
    code = "from qmail.programs.deliver import qmail_dns; from qmail.stores import resolver; "
    code += "from qmail.host.program import run; qmail_dns.MOST_LOOKUPS = 1; resolver.PATIENCE = (0.05,); "
    environ = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(TOP / "src"), **server.environ}
    argv = [sys.executable, "-c", code + "run(qmail_dns.main)"]
    server.twists |= {f"host{i}.example.org": lambda _: None for i in range(3)}
    with subprocess.Popen(argv, env=environ) as process:
        eventually((home / "qr/dns").is_socket)
        names = Names(Home(os.fsencode(home)), {})
        answers = names.ask([(ADDRESSES4, b"host%d.example.org" % i) for i in range(3)])
        assert [answer.status for answer in answers] == [TROUBLE] * 3
        names.close()
        process.terminate()


def test_a_server_without_edns_is_asked_without_it(home: Path) -> None:
    def old(server: NameServer, query: dns.message.Message) -> bytes:
        if query.edns >= 0:
            reply = dns.message.make_response(dns.message.from_wire(query.to_wire()))
            reply.use_edns(False)
            reply.set_rcode(dns.rcode.FORMERR)
            return reply.to_wire()
        return server.reply(query).to_wire()

    assert twisted(home, old) == FOUND


def test_a_lost_question_is_asked_again(home: Path) -> None:
    lost = []

    def lossy(server: NameServer, query: dns.message.Message) -> bytes | None:
        lost.append(query.id)
        return server.reply(query).to_wire() if len(lost) > 1 else None

    assert twisted(home, lossy) == FOUND
    assert len(set(lost)) == 2


def test_an_alias_without_what_it_stands_for_is_followed(home: Path) -> None:
    def short(server: NameServer, query: dns.message.Message) -> bytes:
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text("mx1.example.org.", 60, "IN", "CNAME", "big.example.org."))
        return reply.to_wire()

    assert twisted(home, short) == FOUND


def test_what_a_validating_server_vouches_for_is_told(home: Path) -> None:
    answers = []

    def vouched(server: NameServer, query: dns.message.Message) -> bytes:
        answers.append(bool(query.flags & dns.flags.AD))
        reply = server.reply(query)
        reply.flags |= dns.flags.AD
        return reply.to_wire()

    server = NameServer(dict(ZONE))
    server.twists["mx1.example.org"] = lambda query: vouched(server, query)
    with server:
        service = Service(home, server)
        assert service.ask(ADDRESSES4, b"mx1.example.org").authentic
        assert answers == [True]
        service.process.terminate()
        service.process.wait()


def test_answers_are_remembered_while_they_hold(home: Path) -> None:
    with NameServer(dict(ZONE), ttl=1) as server:
        service = Service(home, server)
        for name in (b"example.org", b"Example.ORG", b"example.org"):
            service.ask(EXCHANGERS, name)
            service.ask(ADDRESSES4, b"none.example.org")
        assert server.asked == {("example.org", "MX"): 1, ("none.example.org", "A"): 1}
        eventually(lambda: service.ask(EXCHANGERS, b"example.org") and server.asked["example.org", "MX"] == 2)
        service.process.terminate()
        service.process.wait()


def test_many_questions_at_once_have_a_port_and_a_number_each(service: Service, server: NameServer) -> None:
    asked = [(ADDRESSES4, b"host%d.example.org" % i) for i in range(200)]
    assert {answer.status for answer in service.names.ask(asked)} == {NAMELESS}
    assert len(server.ports) > 150


def test_equal_questions_are_asked_once(service: Service, server: NameServer) -> None:
    answers = service.names.ask([(EXCHANGERS, b"example.org")] * 50)
    assert {answer.status for answer in answers} == {FOUND}
    assert server.asked["example.org", "MX"] == 1


def test_a_client_that_talks_nonsense_or_never_reads_harms_nobody(service: Service) -> None:
    path = str(service.home / "qr/dns")
    for data in (b"\xff" * 100, b"\0\0", b"\0\4\0\0?x", dnsquery.question(1, EXCHANGERS, b"example.org")[:5]):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(path)
            rude.sendall(data)
            assert service.ask(EXCHANGERS, b"example.org").status == FOUND
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(path)
        deaf.setblocking(False)
        try:
            for _ in range(100_000):
                deaf.send(dnsquery.question(1, ADDRESSES4, b"big.example.org") * 10)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass
        assert service.ask(EXCHANGERS, b"example.org").status == FOUND


def test_a_second_one_does_not_start(service: Service, program: Run) -> None:
    done = program("qmail-dns", env={"QMAIL_HOME": str(service.home)})
    assert (done.returncode, done.stderr) == (111, b"qmail-dns: fatal: qmail-dns is already running\n")
    assert service.ask(EXCHANGERS, b"example.org").status == FOUND


def test_it_ends_when_nobody_asks_any_more(home: Path, server: NameServer) -> None:
    assert Service(home, server, "-i", "0").process.wait(15) == 0


def test_the_socket_is_open_to_every_user(service: Service) -> None:
    assert (service.home / "qr/dns").stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize("arguments", [["-i"], ["-i", "x"], ["x"], ["-z"]])
def test_wrong_arguments_are_told(program: Run, arguments: list[str]) -> None:
    done = program("qmail-dns", *arguments)
    assert (done.returncode, done.stderr) == (100, b"qmail-dns: usage: qmail-dns [ -i seconds ]\n")


def test_without_qmail_dns_a_program_asks_by_itself(home: Path, server: NameServer) -> None:
    names = Names(Home(os.fsencode(home)), {key.encode(): value.encode() for key, value in server.environ.items()})
    assert [each.name for each in names.exchangers(b"example.org")] == [b"mx1.example.org"]
    assert sorted(names.addresses(b"mx1.example.org")) == [
        b"\x20\x01\x0d\xb8" + bytes(11) + b"\1", b"\xc0\0\2\1", b"\xc0\0\2\2",
    ]  # fmt: skip
