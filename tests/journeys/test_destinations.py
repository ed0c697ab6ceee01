"""Real servers that stall, are busy, or are asked by a thousand at once: everybody else's mail goes on."""

from __future__ import annotations

import re
import select
import smtplib
import socket

from journeys.conftest import Host, eventually
from scripted import Peer, taking


def one_message() -> list[bytes | str]:
    """A server's script."""
    return [*taking(), "close"]


def submit(host: Host, count: int, *recipients: str) -> None:
    """So many messages."""
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        for number in range(count):
            client.sendmail("a@here.example", recipients, f"Subject: {number}\r\n\r\nx\r\n")


def running(log: str, domain: str) -> list[int]:
    """How many deliveries to a domain ran after each of them began or ended."""
    now: set[str] = set()
    counts = []
    for begun, ended in re.findall(rf"^starting delivery (\d+): .*@{domain}$|^delivery (\d+): ", log, re.M):
        if begun:
            now.add(begun)
        elif ended in now:
            now.remove(ended)
        else:
            continue
        counts.append(len(now))
    return counts


def test_a_server_that_says_nothing_holds_five_connections_and_nobody_elses_mail(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as dead, Peer(one_message()) as good:
        where = f"dead.example:[127.0.0.1]:{dead.getsockname()[1]}", f"good.example:[127.0.0.1]:{good.port}"
        host.control("smtproutes", *where)
        host.smtp_environment = {"RELAYCLIENT": ""}
        host.start()
        submit(host, 30, "b@dead.example")
        host.wait_for_log("send", "starting delivery 5: ")
        submit(host, 20, "b@good.example")
        host.wait_for_log("send", r"delivery \d+: success: ", 20)
        assert max(running(host.log(), "dead.example")) == 5
        assert host.log().count("to remote b@good.example") == 20
    host.stop()


def test_after_421_there_may_be_half_as_many_connections(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as busy, Peer(one_message()) as good:
        where = f"busy.example:[127.0.0.1]:{busy.getsockname()[1]}", f"good.example:[127.0.0.1]:{good.port}"
        host.control("smtproutes", *where)
        host.smtp_environment = {"RELAYCLIENT": ""}
        host.start()
        submit(host, 20, "b@busy.example")
        host.wait_for_log("send", "starting delivery 5: ")
        for ended in range(1, 4):
            connection, _ = busy.accept()
            connection.sendall(b"421 mx too busy\r\n")
            connection.close()
            host.wait_for_log("send", r"delivery \d+: deferral: ", ended)
        submit(host, 1, "b@good.example")
        host.wait_for_log("send", r"delivery \d+: success: ")
        assert running(host.log(), "busy.example") == [1, 2, 3, 4, 5, 4, 3, 2]
    host.stop()


def test_a_thousand_connections_at_once_are_all_answered_within_the_limit(host: Host) -> None:
    host.start()
    clients = {}
    poll = select.poll()
    for _ in range(1000):
        client = socket.socket()
        client.setblocking(False)
        assert client.connect_ex(("127.0.0.1", host.port)) in (0, 115)
        clients[client.fileno()] = client
        poll.register(client, select.POLLOUT)
    connected: set[int] = set()
    while len(connected) < 1000:
        ready = poll.poll(20_000)
        assert ready, f"only {len(connected)} connections"
        for descriptor, events in ready:
            assert events == select.POLLOUT
            connected.add(descriptor)
            poll.modify(descriptor, select.POLLIN if len(connected) == 1000 else 0)
    for descriptor in clients:
        poll.modify(descriptor, select.POLLIN)
    said: dict[int, bytes] = dict.fromkeys(clients, b"")
    while clients:
        ready = poll.poll(20_000)
        assert ready, f"{len(clients)} were not answered"
        for descriptor, _ in ready:
            data = clients[descriptor].recv(4096)
            said[descriptor] += data
            if not data:
                poll.unregister(descriptor)
                clients.pop(descriptor).close()
            elif data.startswith(b"220"):
                clients[descriptor].send(b"QUIT\r\n")
    assert [each[:4] for each in said.values()] == [b"220 "] * 1000
    assert all(b"\r\n221 " in each for each in said.values())
    counts = [int(count) for count in re.findall(r"status: (\d+)/100$", host.log("smtpd"), re.M)]
    assert max(counts) == 100
    eventually("the last one's end", lambda: host.log("smtpd").endswith("status: 0/100\n"))
