"""Two hosts of ours send each other mail by QMTP and QMTPS, with certificates that each verifies."""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import wait_until
from journeys.conftest import Host, User, eventually, free_port
from securing import Authority


def accepting(host: Host, *, tls: bool) -> int:
    """qmail-qmtpd on a port of its own, which is returned."""
    port = free_port()
    daemon = pwd.getpwnam("qmaild") if os.geteuid() == 0 else None
    who = ["-u", str(daemon.pw_uid), "-g", str(daemon.pw_gid)] if daemon else []
    words = [*who, "127.0.0.1", str(port), *(["tlswrap"] if tls else []), f"{host.home}/bin/qmail-qmtpd"]
    host.run("qmtpd", "tcpserver", "-v", "-R", "-H", "-l", host.name, *words)
    wait_until(lambda: reached(port))
    return port


def reached(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def letters(user: User) -> list[bytes]:
    """What came from the other host, without bounces."""
    return [each for each in user.mail() if each.startswith(b"Return-Path: <joe@")]


def write(host: Host, recipient: str, words: str) -> None:
    done = subprocess.run(
        [host.home / "bin/qmail-inject", recipient], input=f"Subject: {words}\n\n{words}\n".encode(),
        env=host.environment | {"QMAILUSER": "joe"}, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tls", [pytest.param(False, marks=pytest.mark.prove), True], ids=["QMTP", "QMTPS"])
def test_mail_goes_both_ways(make_host: Callable[..., Host], tmp_path: Path, tls: bool) -> None:
    authority = Authority(tmp_path / "authority")
    hosts = [make_host("a.example"), make_host("b.example")]
    users: list[User] = []
    ports: dict[str, int] = {}
    try:
        for host in hosts:
            users.append(host.user("joe"))
            host.start()
            host.start_rcptd()
            if tls:
                authority.certify(host.home / "control/servercert.pem", host.name)
                host.run("tlsd", "qmail-tlsd")
                wait_until((host.home / "qt/socket").is_socket)
            ports[host.name] = accepting(host, tls=tls)
        for host, other in (hosts, hosts[::-1]):
            host.control("qmtproutes", f"{other.name}:[127.0.0.1]:{ports[other.name]}{' tls' if tls else ''}")
        for (host, other), user in zip((hosts, hosts[::-1]), users[::-1], strict=True):
            for number in range(3):
                write(host, f"joe@{other.name}", f"letter {number}")
            eventually("three letters", lambda user=user: len(letters(user)) == 3)
            kind = rb"with QMTPS \(TLSv1\.3 [A-Z0-9_]+\);" if tls else rb"with QMTP;"
            assert all(re.search(kind, letter) for letter in letters(user))
            # An unknown recipient is told of in the same conversation.
            write(host, f"nobody@{other.name}", "to nobody")
            host.wait_for_log("send", r"failure: .*no_mailbox_here_by_that_name")
        for host, other in (hosts, hosts[::-1]):
            host.control("tlspolicy", f"{other.name}:verify")

        def is_put_off() -> bool:
            write(hosts[0], "joe@b.example", "strict")  # a file counts within a second of its change
            put_off = r"deferral: .*(nobody_whom_this_system_trusts|does_not_offer_TLS)"
            return bool(re.search(put_off, hosts[0].log()))

        eventually("strictness", is_put_off)
        if tls:
            (hosts[0].home / "control/tlstrust.pem").write_bytes(authority.trust.read_bytes())
            write(hosts[0], "joe@b.example", "trusted")
            eventually("the trusted one", lambda: b"trusted" in b"".join(letters(users[1])))
    finally:
        for host in hosts:
            for service in ("qmtpd", "tlsd"):
                if service in host.services:
                    host.stop_service(service)
