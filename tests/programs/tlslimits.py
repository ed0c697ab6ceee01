"""Beyond the limits of qmail-stsd and qmail-tlsrptd, for test_limits: each is given a home, and a place for files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from conftest import TOP
from nameserver import NameServer
from policyhost import POLICY, PolicyHost, Stsd, World
from programs.test_tls_reports import Counter
from qmail.formats.tlscount import Session, line
from qmail.stores import tlscounts
from qmail.stores.home import Home
from securing import Authority


def enforcing(more: str) -> str:
    return POLICY.format(mode="enforce") + more


def policies(home: Path, *texts: str) -> list[bytes]:
    """What qmail-stsd says of a domain, with each of these as its policy."""
    authority = Authority(home.parent / "authority")
    web = PolicyHost(authority.certify(home.parent / "host.pem", "mta-sts.example.org"))
    with NameServer({}) as names, web, Stsd(World(home, authority.trust, names, web)) as stsd:
        found = []
        for i, text in enumerate(texts):
            stsd.world.publish(str(i), text)
            stsd.again()
            found.append(stsd.ask())
            stsd.world.file.unlink(missing_ok=True)
        return found


def policy_bytes(home: Path, limit: int) -> None:
    room = limit - len(enforcing(""))
    found = policies(home, enforcing("\n" * room), enforcing("\n" * (room + 1)))
    assert found == [b"P enforce", b"Fsts-policy-fetch-error"]


def policy_patterns(home: Path, limit: int) -> None:
    more = "".join(f"mx: {i}.example.net\n" for i in range(limit - 2))
    found = policies(home, enforcing(more), enforcing(more + "mx: a.example.net\n"))
    assert found == [b"P enforce", b"Fsts-policy-invalid"]


def small(
    home: Path, module: str, setting: str, program: str, stdin: int | socket.socket = subprocess.DEVNULL
) -> subprocess.CompletedProcess[bytes]:
    """A program with -i 0, and a limit that is quickly reached."""
    code = (
        f"import sys; from qmail.stores import {module}; {module}.{setting}; from qmail.programs.deliver import "
        f"{program}; sys.exit({program}.main([b'x', b'-i', b'0'], {{b'QMAIL_HOME': {bytes(home)!r}}}))"
    )
    environ = {"PYTHONPATH": str(TOP / "src")}
    return subprocess.run([sys.executable, "-c", code], env=environ, stdin=stdin, capture_output=True)


def policy_cache(home: Path, setting: str) -> None:
    """Ten thousand files take too long: here two of these have room."""
    for i in range(4):
        path = home / f"sts/d{i}.example"
        path.write_bytes(b"id: 1\n" + enforcing("").encode())
        os.utime(path, (i + 1, i + 1))
    assert small(home, "policycache", setting, "qmail_stsd").returncode == 0
    assert sorted(path.name for path in (home / "sts").iterdir()) == ["d2.example", "d3.example"]


def counted(home: Path, *sessions: Session) -> dict[bytes, int]:
    """What qmail-tlsrptd has in its file after these."""
    counter = Counter(home)
    for session in sessions:
        counter.teller.tell(session)
    return counter.end()


def session_bytes(home: Path, limit: int) -> None:
    room = limit - len(line(Session(b"a.b", b"sts", [b""])))
    whole, longer = (Session(b"a.b", b"sts", [b"x" * size]) for size in (room, room + 1))
    assert list(counted(home, whole, longer)) == [line(whole), line(Session(b"a.b", b"sts"))]


def session_details(home: Path, limit: int) -> None:
    failures = [Session(b"a.b", b"sts", (), b"certificate-expired", b"mx%d" % i) for i in range(limit + 3)]
    found = counted(home, *failures)
    assert (len(found), found[line(Session(b"a.b", b"sts", (), b"certificate-expired"))]) == (limit + 1, 3)


def session_kinds(home: Path, setting: str) -> None:
    """Twenty thousand take too long: here the limit is reached after two."""
    sessions = [line(Session(b"%d.b" % i, b"sts")) for i in (1, 2, 3, 2, 3)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(home / "qr/listening"))
        listening.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(home / "qr/listening"))
            for session in sessions:
                client.send(session)
            done = small(home, "tlscounts", setting, "qmail_tlsrptd", listening)
    assert done.returncode == 0
    assert done.stderr.startswith(b"qmail-tlsrptd: warning: 1 sessions of today were not counted")
    found = tlscounts.read(Home(bytes(home)), tlscounts.day_of(time.time()))
    assert found == {sessions[0]: 1, sessions[1]: 2}


STSD: dict[str, Callable[[Path, int], None]] = {
    "mtasts:LARGEST": policy_bytes,
    "mtasts:MOST_PATTERNS": policy_patterns,
    "policycache:MOST_KEPT": lambda home, _limit: policy_cache(home, "MOST_KEPT = 2"),
    "policycache:MOST_BYTES": lambda home, _limit: policy_cache(home, "MOST_BYTES = 250"),
}
TLSRPTD: dict[str, Callable[[Path, int], None]] = {
    "tlscount:LONGEST": session_bytes,
    "tlscounts:MOST_OF_DOMAIN": session_details,
    "tlscounts:MOST_LINES": lambda home, _limit: session_kinds(home, "MOST_LINES = 2"),
    "tlscounts:MOST_BYTES": lambda home, _limit: session_kinds(home, "MOST_BYTES = 25"),
}
