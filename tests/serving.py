"""A tcpserver that a test starts, talks to, and reads the log of."""

from __future__ import annotations

import re
import socket
import subprocess
import sysconfig
import time
from pathlib import Path

from conftest import BIN, TOP

PATIENCE = 10.0

# A resident with one worker, which answers with a word and the client's address.
STUB = """
import os, sys, _socket
sys.path.insert(0, "TREE")
sys.path.append("SITE")
from qmail.host import signals
from qmail.host.program import run
from qmail.programs.ucspi import tcpserver

class Stub:
    def begin(self, listener_fds):
        self.ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid:
            return theirs.close()
        signals.restore()
        self.ours.close()
        for fd in listener_fds:
            os.close(fd)
        while True:
            packet, ancillary, _, _ = theirs.recvmsg(65536, 64)
            if not packet:
                os._exit(0)
            fd = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            os.write(fd, b"warm " + packet[8:] + b"\\n")
            os.read(fd, 1)
            if b"crash" in packet:
                os._exit(7)
            os.close(fd)
            try:
                theirs.send(packet[:8])
            except OSError:
                os._exit(0)

    def serve(self, fd, environ, number):
        if b"QMAILQUEUE" in environ:
            return False
        self.number = number
        words = environ[b"TCPREMOTEIP"] + b" " + environ.get(b"WORD", b"-")
        self.ours.sendmsg([number.to_bytes(8, "big") + words], [(1, 1, fd.to_bytes(4, sys.byteorder))])
        return True

    def descriptors(self):
        return [self.ours.fileno()]

    def ended(self, descriptor):
        packet = self.ours.recv(8)
        return [(int.from_bytes(packet, "big"), 0)] if packet else []

    def reaped(self, pid, status):
        return [(self.number, status)] if pid == self.pid else None

    def close(self):
        self.ours.close()

run(lambda argv, environ: tcpserver.main(argv, environ, lambda program, environ: Stub()))
""".replace("TREE", str(TOP / "src")).replace("SITE", sysconfig.get_path("purelib"))


class Server:
    """A running tcpserver."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.log = cwd / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.port = int(line)

    def talk(self, address: str = "127.0.0.1", source: str = "", send: bytes = b"") -> bytes:
        with socket.create_connection((address, self.port), PATIENCE, (source, 0) if source else None) as client:
            client.settimeout(PATIENCE)
            text = b""
            try:
                client.sendall(send)
                client.shutdown(socket.SHUT_WR)
                while piece := client.recv(65536):
                    text += piece
            except OSError:
                pass  # a refused client may find its words unread, and the connection gone
            return text

    def until(self, pattern: str, times: int = 1) -> str:
        """The log, when it has so many lines with this pattern."""
        end = time.monotonic() + PATIENCE
        while len(re.findall(pattern, text := self.log.read_text(), re.MULTILINE)) < times:
            assert time.monotonic() < end, f"not {times} times {pattern!r} in:\n{text}"
            time.sleep(0.005)
        return text


class Start:
    """Starts servers: `start("-v", program=["echo", "hi"], rules=":deny")`. They end with the `with` block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: list[Server] = []

    def __enter__(self) -> Start:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.running:
            server.process.kill()
            server.process.wait()
            assert server.process.stdout is not None
            server.process.stdout.close()

    def __call__(
        self,
        *options: str,
        host: str = "127.0.0.1",
        program: list[str] | None = None,
        rules: str | None = None,
        warm: bool = False,
        env: dict[str, str] | None = None,
        names: str = "-HRl0",
    ) -> Server:
        words = [names, "-1", *options]
        if rules is not None:
            compile_rules(self.directory, rules)
            words += ["-x", "rules.cdb"]
        (self.directory / "stub.py").write_text(STUB)
        command = ["/usr/bin/python3", "-IS", "stub.py"] if warm else [str(BIN / "tcpserver")]
        environ = {"PATH": f"{BIN}:/usr/bin:/bin", **(env or {})}
        server = Server([*command, *words, host, "0", *(program or ["true"])], self.directory, environ)
        self.running.append(server)
        return server


def compile_rules(directory: Path, text: str) -> None:
    subprocess.run(
        [BIN / "tcprules", "rules.cdb", "rules.tmp"],
        input=text.encode(),
        cwd=directory,
        check=True,
        capture_output=True,
    )
