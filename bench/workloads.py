"""What is sent, and when it counts as done."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

from machine import Counters, processes_of, proportional_memory
from servers import DOMAIN, SINK, USER, fresh_maildir, maildir

Server = Any  # Ours or Postfix: the same methods
Figures = dict[str, float]
RECIPIENT = f"{USER}@{DOMAIN}"


def source(server: Server, recipient: str, count: int, clients: int, size: int, *, reuse: bool = False) -> None:
    """Run smtp-source to its end. Raises RuntimeError."""
    argv = ["smtp-source", "-4", "-m", str(count), "-s", str(clients), "-l", str(size), "-f", "sender@example.test"]
    argv += ["-t", recipient, *(["-d"] if reuse else []), f"inet:127.0.0.1:{server.port}"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    if done.returncode or done.stderr:
        raise RuntimeError((done.stdout + done.stderr).decode("ascii", "replace")[-200:])


def delivered(count: int, limit: float = 120) -> float:
    """Wait until the Maildir holds `count` messages; the moment the last one came."""
    new, deadline = maildir() / "new", time.monotonic() + limit
    while len(os.listdir(new)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(os.listdir(new))} of {count} arrived")
        time.sleep(0.02)
    return new.stat().st_mtime


def figures(server: Server, before: Counters, end: float, count: int) -> Figures:
    """Rates from `before` to `end`, costs until now."""
    time.sleep(0.5)  # what is still being cleaned up counts as cost
    after = Counters(server.group)
    return {
        "per_s": count / max(end - before.when, 1e-6),
        "cpu_ms": (after.cpu - before.cpu) * 1000 / count,
        "switches": (after.switches - before.switches) / count,
        "forks": (after.forks - before.forks) / count,
    }


def smtp(clients: int, count: int, *, size: int = 4096, reuse: bool = False) -> Callable[[Server], Figures]:
    """SMTP in, one Maildir."""

    def run(server: Server) -> Figures:
        fresh_maildir()
        os.sync()
        before = Counters(server.group)
        source(server, RECIPIENT, count, clients, size, reuse=reuse)
        return figures(server, before, delivered(count), count)

    return run


def relay(clients: int, count: int) -> Callable[[Server], Figures]:
    """SMTP in, SMTP out to smtp-sink."""

    def run(server: Server) -> Figures:
        with tempfile.TemporaryFile() as counts:
            sink = subprocess.Popen(
                ["smtp-sink", "-4", "-u", "nobody", "-c", f"127.0.0.1:{SINK}", "1000"],
                stdin=subprocess.DEVNULL, stdout=counts, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                time.sleep(0.3)
                os.sync()
                before = Counters(server.group)
                source(server, "user@sink.test", count, clients, 4096)
                deadline = time.monotonic() + 120
                while (got := _sunk(counts.fileno())) < count:
                    if time.monotonic() > deadline:
                        raise RuntimeError(f"{got} of {count} reached the sink")
                    time.sleep(0.02)
                return figures(server, before, os.fstat(counts.fileno()).st_mtime, count)
            finally:
                sink.terminate()
                sink.wait()

    return run


def _sunk(descriptor: int) -> int:
    size = os.fstat(descriptor).st_size
    found = re.findall(rb"mesg=\s*(\d+)", os.pread(descriptor, 200, max(0, size - 200)))
    return int(found[-1]) if found else 0


def fanout(count: int) -> Callable[[Server], Figures]:
    """One message to `count` addresses of one user."""

    def run(server: Server) -> Figures:
        fresh_maildir()
        os.sync()
        before = Counters(server.group)
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            stream = connection.makefile("rwb")
            talk = [b"", b"EHLO localhost", b"MAIL FROM:<sender@example.test>"]
            talk += [b"RCPT TO:<%s-%d@%s>" % (USER.encode(), i, DOMAIN.encode()) for i in range(count)]
            for line in [*talk, b"DATA", b"Subject: x\r\n\r\n" + b"x" * 4000 + b"\r\n.", b"QUIT"]:
                if line:
                    stream.write(line + b"\r\n")
                    stream.flush()
                reply = stream.readline()
                while reply[3:4] == b"-":
                    reply = stream.readline()
                if reply[:1] not in (b"2", b"3"):
                    raise RuntimeError(reply.decode("ascii", "replace"))
        return figures(server, before, delivered(count), count)

    return run


def inject(count: int) -> Callable[[Server], Figures]:
    """The injection program, one run after the other, as an ordinary user."""

    def run(server: Server) -> Figures:
        fresh_maildir()
        message = tempfile.NamedTemporaryFile(suffix=".eml")
        message.write(b"Subject: x\nTo: <%s>\n\n" % RECIPIENT.encode() + b"x" * 79 + b"\n")
        message.flush()
        os.chmod(message.name, 0o644)
        before = Counters(server.group)
        script = f"i=0; while [ $i -lt {count} ]; do {server.inject} < {message.name} || exit 1; i=$((i+1)); done"
        subprocess.run(["/bin/sh", "-c", script], check=True, user=USER, cwd="/", timeout=300)
        return figures(server, before, delivered(count), count)

    return run


def memory(_server: Server) -> Figures:
    """PSS in MiB, idle and with 200 connections."""
    time.sleep(12)  # warm workers that nobody needs have gone by then
    idle = proportional_memory(processes_of(_server.leaders()))
    connections = [socket.create_connection(("127.0.0.1", _server.port), 10) for _ in range(200)]
    for connection in connections:
        connection.settimeout(20)
        connection.recv(200)
    time.sleep(1)
    full = proportional_memory(processes_of(_server.leaders()))
    for connection in connections:
        connection.close()
    return {"idle_mib": idle, "with_200_mib": full}


WORKLOADS: dict[str, Callable[[Server], Figures]] = {
    "smtp-1": smtp(1, 1000),
    "smtp-10": smtp(10, 3000),
    "smtp-50": smtp(50, 3000),
    "reuse-10": smtp(10, 3000, reuse=True),
    "relay-20": relay(20, 3000),
    "fanout": fanout(1000),
    "large-4": smtp(4, 60, size=10 * 2**20),
    "inject": inject(100),
    "memory": memory,
}
