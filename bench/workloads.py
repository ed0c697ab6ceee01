"""What is sent, and when it counts as done."""

from __future__ import annotations

import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import Counters, processes_of, proportional_memory
from servers import DOMAIN, PLACE, SINK, USER, fresh_maildir, maildir

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
    after = Counters(server.group, PLACE)
    return {
        "per_s": count / max(end - before.when, 1e-6),
        "cpu_ms": (after.cpu - before.cpu) * 1000 / count,
        "switches": (after.switches - before.switches) / count,
        "forks": (after.forks - before.forks) / count,
        "flushes": (after.flushes - before.flushes) / count,
    }


def smtp(clients: int, count: int, *, size: int = 4096, reuse: bool = False) -> Callable[[Server], Figures]:
    """SMTP in, one Maildir."""

    def run(server: Server) -> Figures:
        fresh_maildir()
        os.sync()
        before = Counters(server.group, PLACE)
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
                before = Counters(server.group, PLACE)
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
        before = Counters(server.group, PLACE)
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
        before = Counters(server.group, PLACE)
        script = f"i=0; while [ $i -lt {count} ]; do {server.inject} < {message.name} || exit 1; i=$((i+1)); done"
        subprocess.run(["/bin/sh", "-c", script], check=True, user=USER, cwd="/", timeout=300)
        return figures(server, before, delivered(count), count)

    return run


def memory(server: Server) -> Figures:
    """PSS in MiB, idle and with 200 connections."""
    time.sleep(12)  # warm workers that nobody needs have gone by then
    idle = proportional_memory(processes_of(server.leaders()))
    connections = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(200)]
    for connection in connections:
        connection.settimeout(20)
        connection.recv(200)
    time.sleep(1)
    full = proportional_memory(processes_of(server.leaders()))
    for connection in connections:
        connection.close()
    return {"idle_mib": idle, "with_200_mib": full}


def backlog(count: int) -> Callable[[Server], Figures]:
    """Messages for a host where nobody listens; what they cost, and what a fresh local message takes meanwhile."""

    def run(server: Server) -> Figures:
        fresh_maildir()
        empty = _latency(server)
        begin = time.time()
        for part in range(0, count, 5000):
            source(server, "user@dead.test", min(5000, count - part), 20, 1024)
        accepted = time.time() - begin
        during = statistics.median(_latency(server) for _ in range(5))
        memory = proportional_memory([pid for pid in processes_of(server.leaders()) if _name(pid) in QUEUE_MANAGERS])
        server.stop()
        begin = time.time()
        server.start()
        return {
            "per_s": count / accepted, "fresh_empty_ms": empty * 1000, "fresh_full_ms": during * 1000,
            "manager_mib": memory, "restart_s": time.time() - begin, "fresh_restarted_ms": _latency(server) * 1000,
        }  # fmt: skip

    return run


def _latency(server: Server) -> float:
    # Seconds from a message's first byte to its place in the Maildir.
    new = maildir() / "new"
    before, begin = len(os.listdir(new)), time.time()
    source(server, RECIPIENT, 1, 1, 1024)
    deadline = begin + 120
    while len(os.listdir(new)) == before:
        if time.time() > deadline:
            raise RuntimeError("a fresh message did not arrive within 120 seconds")
        time.sleep(0.002)
    return time.time() - begin


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def calls(count: int) -> Callable[[Server], Figures]:
    """System calls a message of all processes of a server, counted by strace, which slows them down."""

    def run(server: Server) -> Figures:
        fresh_maildir()
        source(server, RECIPIENT, 20, 1, 4096)
        delivered(20)
        with tempfile.NamedTemporaryFile() as counts:
            pids = [word for pid in processes_of(server.leaders()) for word in ("-p", str(pid))]
            strace = subprocess.Popen(["strace", "-f", "-c", "-q", "-o", counts.name, *pids], stderr=subprocess.DEVNULL)
            try:
                time.sleep(2)
                source(server, RECIPIENT, count, 10, 4096)
                delivered(count + 20)
                time.sleep(1)
            finally:
                strace.send_signal(signal.SIGINT)
                strace.wait(30)
            lines = [line.split() for line in Path(counts.name).read_text().splitlines() if line.endswith("total")]
        return {"calls": int(lines[-1][3 if len(lines[-1]) > 4 else 2]) / count}

    return run


QUEUE_MANAGERS = ("qmail-send", "qmgr")

WORKLOADS: dict[str, Callable[[Server], Figures]] = {
    "smtp-1": smtp(1, 1000),
    "smtp-10": smtp(10, 3000),
    "smtp-50": smtp(50, 3000),
    "reuse-10": smtp(10, 3000, reuse=True),
    "relay-20": relay(20, 3000),
    "fanout": fanout(1000),
    "large-4": smtp(4, 60, size=10 * 2**20),
    "inject": inject(100),
    "calls": calls(300),
    "memory": memory,
    "backlog": backlog(20_000),
    "backlog-100k": backlog(100_000),
}
ONCE = ("memory", "backlog", "backlog-100k")  # not to be repeated: they leave the server changed, or take long
SLOW = ("backlog-100k",)  # only where it is asked for
