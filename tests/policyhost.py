"""A web server with policies of MTA-STS, and a qmail-stsd that asks it."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from conftest import BIN, have_users, wait_until
from nameserver import NameServer

POLICY = "version: STSv1\r\nmode: {mode}\r\nmx: mx.example.org\r\nmx: *.mail.example.org\r\nmax_age: 604800\r\n"


def answer(text: str | bytes, *, status: str = "200 OK", kind: str = "text/plain", more: str = "") -> bytes:
    """What a web server says."""
    body = text.encode() if isinstance(text, str) else text
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


class PolicyHost:
    """The web server. `reply`: what it says to everybody; None: nothing, for as long as there is this server.
    `replies`: what it says as one of its hosts. `asked`: the first lines of what it was asked."""

    def __init__(self, certificate: Path, *, address: str = "127.0.0.1", port: int = 0) -> None:
        self.reply: bytes | None = b""
        self.replies: dict[bytes, bytes] = {}
        self.asked: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server((address, port))
        self._over = threading.Event()
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> PolicyHost:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        peer.settimeout(30)
        try:
            with self._context.wrap_socket(peer, server_side=True) as stream, stream.makefile("rb") as lines:
                self.asked.append(lines.readline())
                reply = self.reply
                while line := lines.readline().strip():
                    name, _, value = line.partition(b": ")
                    if name.lower() == b"host":
                        reply = self.replies.get(value, reply)
                if reply is None:
                    self._over.wait(60)
                stream.sendall(reply or b"")
        except OSError:
            pass
        finally:
            peer.close()


class World:
    """example.org, its name server and its web server; a home whose programs ask them, and trust whom `trust` names."""

    def __init__(self, home: Path, trust: Path, names: NameServer, web: PolicyHost) -> None:
        self.home, self.names, self.web = home, names, web
        (home / "control/me").write_text("client.example\n")
        shutil.copyfile(trust, home / "control/tlstrust.pem")
        self.publish("1", POLICY.format(mode="enforce"))
        names.zone["mta-sts.example.org", "A"] = ["127.0.0.1"]
        self.environ = {
            "QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin", "STSPORT": str(web.port), **names.environ,
        }  # fmt: skip

    def publish(self, identity: str, policy: str | bytes | None = None) -> None:
        """Announce a policy under this id; with a text, the web server has it."""
        self.names.zone["_mta-sts.example.org", "TXT"] = [f'"v=STSv1; id={identity};"']
        if policy is not None:
            self.web.reply = answer(policy)

    @property
    def file(self) -> Path:
        """Where the policy is kept."""
        return self.home / "sts/example.org"

    def grow_old(self, seconds: int) -> None:
        """The policy that is kept was fetched so much earlier."""
        then = self.file.stat().st_mtime - seconds
        os.utime(self.file, (then, then))


class Stsd:
    """A running qmail-stsd. `log`: what it has said."""

    def __init__(self, world: World, *words: str) -> None:
        self.world, self._log = world, world.home.parent / "stsd.log"
        self.words = [str(BIN / "qmail-stsd"), *words]
        self.start()

    def start(self) -> None:
        who = {"user": "qmailr", "group": "qmail", "extra_groups": []} if os.geteuid() == 0 and have_users() else {}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # type: ignore[call-overload]
                self.words, env=self.world.environ, stdin=subprocess.DEVNULL, stderr=log, cwd="/", **who
            )
        wait_until(lambda: self.process.poll() is not None or self._listens())
        assert self.process.poll() is None, self.log

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            return probe.connect_ex(str(self.world.home / "qr/sts")) == 0

    def again(self) -> None:
        """End it, and start another: what is remembered is what is on disk."""
        self.stop()
        self.start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def __enter__(self) -> Stsd:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ask(self, domain: str = "example.org") -> bytes:
        """What it says of a domain: the letter, and the mode or the failure."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(30)
            client.connect(str(self.world.home / "qr/sts"))
            client.send(domain.encode())
            said = client.recv(1 << 17)
        if said[:1] != b"P":
            return said
        return b"P " + next(line for line in said.split(b"\n") if line.startswith(b"mode: ")).strip()[6:]
