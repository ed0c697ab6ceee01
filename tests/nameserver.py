"""A name server on loopback that says what a test wants, by UDP and TCP."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Twist = Callable[[dns.message.Message], "bytes | None"]


class NameServer:
    """`zone` maps (name, type) to texts of records; a name in no entry does not exist.

    `twists` maps a name to a function that makes the reply's bytes for UDP itself (None: no reply), and
    `codes` a name to a response code. `asked` counts the questions by (name, type). `signed`: names, with those
    below, that it vouches for, as after validation.
    """

    def __init__(
        self,
        zone: dict[tuple[str, str], list[str]],
        *,
        codes: dict[str, int] | None = None,
        twists: dict[str, Twist] | None = None,
        ttl: int = 300,
        signed: tuple[str, ...] = (),
        tcp: bool = True,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.zone, self.codes, self.twists, self.ttl = zone, codes or {}, twists or {}, ttl
        self.signed = signed
        self.asked: dict[tuple[str, str], int] = {}
        self.over_tcp = 0
        self.ports: set[int] = set()
        self.datagrams, self.stream = _sockets(address, port, tcp)
        self.port = self.datagrams.getsockname()[1]
        self._threads = [threading.Thread(target=self._by_udp, daemon=True)]
        if self.stream:
            self._threads.append(threading.Thread(target=self._by_tcp, daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def environ(self) -> dict[str, str]:
        """What makes our programs ask this server."""
        return {"DNSCACHEIP": f"127.0.0.1@{self.port}"}

    def __enter__(self) -> NameServer:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self.datagrams, self.stream):
            if each is not None:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                each.close()

    def reply(self, query: dns.message.Message) -> dns.message.Message:
        """What the zone says."""
        answer = dns.message.make_response(query, recursion_available=True)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked[name, kind] = self.asked.get((name, kind), 0) + 1
        if any(f".{name}".endswith(f".{each}") for each in self.signed):
            answer.flags |= dns.flags.AD
        if name in self.codes:
            answer.set_rcode(self.codes[name])
            return answer
        for _ in range(10):
            if (name, kind) in self.zone:
                answer.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", kind, *self.zone[name, kind]))
                return answer
            if (name, "CNAME") not in self.zone:
                break
            answer.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", "CNAME", *self.zone[name, "CNAME"]))
            name = self.zone[name, "CNAME"][0].rstrip(".")
        if not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        answer.authority.append(dns.rrset.from_text("example.", self.ttl, "IN", "SOA", f". . 1 1 1 1 {self.ttl}"))
        return answer

    def _by_udp(self) -> None:
        while True:
            try:
                data, source = self.datagrams.recvfrom(65535)
            except OSError:
                return
            if not data:
                return
            self.ports.add(source[1])
            query = dns.message.from_wire(data)
            twist = self.twists.get(query.question[0].name.to_text(omit_final_dot=True).lower())
            if twist is not None:
                wire = twist(query)
            else:
                answer = self.reply(query)
                wire = answer.to_wire(max_size=65535)
                if len(wire) > (query.payload or 512):
                    answer.answer.clear()
                    answer.flags |= dns.flags.TC
                    wire = answer.to_wire()
            try:
                if wire is not None:
                    self.datagrams.sendto(wire, source)
            except OSError:
                return

    def _by_tcp(self) -> None:
        assert self.stream is not None
        while True:
            try:
                peer, _ = self.stream.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(10)
                try:
                    size = struct.unpack(">H", peer.recv(2, socket.MSG_WAITALL))[0]
                    query = dns.message.from_wire(peer.recv(size, socket.MSG_WAITALL))
                    self.over_tcp += 1
                    wire = self.reply(query).to_wire(max_size=65535)
                    # In two pieces, as a slow network would.
                    peer.sendall(struct.pack(">H", len(wire)) + wire[:100])
                    peer.sendall(wire[100:])
                except (OSError, struct.error):
                    pass


def _sockets(address: str, port: int, tcp: bool) -> tuple[socket.socket, socket.socket | None]:
    """A socket for datagrams, and one for connections on the same port."""
    for _ in range(50):
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((address, port))
        try:
            return datagrams, socket.create_server((address, datagrams.getsockname()[1])) if tcp else None
        except OSError:
            datagrams.close()  # taken for TCP
    raise OSError("no port is free for both")
