"""Faults 83 and 85: servers, of mail and of names, that say more than they should."""

from __future__ import annotations

from pathlib import Path

import dns.message
import dns.rrset
import pytest

from nameserver import NameServer
from programs.test_qmail_dns import Service
from qmail.protocols.dnsquery import ADDRESSES4, EXCHANGERS, FOUND, NAMELESS
from scripted import Peer, Step
from sender import Sender

TAKEN: list[Step] = ["line", b"250 ok\r\n", "line", b"250 ok\r\n", "line", b"354 go\r\n", "data", b"250 queued\r\n"]


def sent(home: Path, script: list[Step]) -> tuple[bytes, bytes]:
    """The report on one message to such a server, and what the server has heard."""
    (home / "control/me").write_text("client.example\n")
    with Peer(script) as peer:
        (home / "control/smtproutes").write_text(f":[127.0.0.1]:{peer.port}\n")
        sender = Sender(home)
        sender.order((1, sender.message(1), b"s@a", b"r@h"))
        report = sender.reports(1)[1]
        assert sender.end() == 0
    return report, b"".join(peer.got)


@pytest.mark.parametrize(
    "hello",
    [
        b"250-mx\r\n250-SIZE 0\r\n250 AUTH\r\n",
        b"250-mx\r\n250-SIZE\r\n250-AUTH=\r\n250-\r\n250  \r\n",
        b"250-\xff\0\r\n250 \r\n",
    ],
)
def test_fault_083_a_keyword_without_its_value_changes_nothing(home: Path, hello: bytes) -> None:
    report, heard = sent(home, [b"220 x\r\n", "line", hello, *TAKEN])
    assert report.startswith(b"K127.0.0.1 accepted message.")
    assert b"MAIL FROM:<s@a>\r\n" in heard


def test_fault_083_a_million_keywords_are_a_lost_connection(home: Path) -> None:
    report, heard = sent(home, [b"220 x\r\n", "line", *[b"250-X-KEYWORD-OF-OURS\r\n" * 10_000] * 100])
    assert report == b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n"
    assert b"MAIL" not in heard


def test_fault_085_what_nobody_asked_for_is_not_believed(home: Path) -> None:
    zone = {("asked.example", "MX"): ["10 mx.asked.example."], ("mx.asked.example", "A"): ["192.0.2.1"]}

    def poisoned(query: dns.message.Message) -> bytes:
        reply = server.reply(query)
        for section in (reply.answer, reply.additional, reply.authority):
            section.append(dns.rrset.from_text("victim.example.", 9999, "IN", "A", "203.0.113.66"))
            section.append(dns.rrset.from_text("mx.asked.example.", 9999, "IN", "A", "203.0.113.66"))
        return reply.to_wire()

    with NameServer(zone, twists={"asked.example": lambda query: poisoned(query)}) as server:
        service = Service(home, server)
        try:
            answer = service.ask(EXCHANGERS, b"asked.example")
            assert (answer.status, answer.records) == (FOUND, [b"\0\x0amx.asked.example"])
            assert service.ask(ADDRESSES4, b"victim.example").status == NAMELESS
            assert service.ask(ADDRESSES4, b"mx.asked.example").records == [b"\xc0\0\2\1"]
        finally:
            service.names.close()
            service.process.terminate()
            service.process.wait()
