"""An SMTP server that does what a test says, on loopback."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Sequence

LIMIT = 20  # seconds for anything

Step = bytes | str


class Peer:
    """Plays one script per connection, the last one for all that follow.

    A script is a list of steps: bytes are sent, "line" waits for a line, "data" for the end of a
    message, "close" closes, "reset" closes with RST. At its end everything is read until the client
    leaves. `got` has what each connection said.
    """

    def __init__(self, *scripts: Sequence[Step], address: str = "127.0.0.1", port: int = 0) -> None:
        self.scripts = [list(script) for script in scripts]
        self.got: list[bytes] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self.listener.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND: a route is enough
        self.listener.bind((address, port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> list[bytes]:
        """Accept no more, wait for all connections to end; what they said."""
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        self._acceptor.join(LIMIT)
        for thread in self._threads:
            thread.join(LIMIT)
        return self.got

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            number = len(self.got)
            self.got.append(b"")
            script = self.scripts[min(number, len(self.scripts) - 1)]
            thread = threading.Thread(target=self._play, args=(peer, number, script), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _play(self, peer: socket.socket, number: int, script: list[Step]) -> None:
        peer.settimeout(LIMIT)
        data = b""

        def wait(end: bytes) -> None:
            nonlocal data
            while end not in data and not (end == b"\r\n.\r\n" and data.startswith(b".\r\n")):
                chunk = peer.recv(65536)
                if not chunk:
                    raise ConnectionError
                self.got[number] += chunk
                data += chunk
            skip = b".\r\n" if end == b"\r\n.\r\n" and data.startswith(b".\r\n") else end
            data = data[data.index(skip) + len(skip) :]

        try:
            for step in script:
                if isinstance(step, bytes):
                    peer.sendall(step)
                elif step == "line":
                    wait(b"\n")
                elif step == "data":
                    wait(b"\r\n.\r\n")
                elif step == "close":
                    return
                elif step == "reset":
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
            while chunk := peer.recv(65536):
                self.got[number] += chunk
        except OSError:
            pass
        finally:
            peer.close()


def taking(greeting: bytes = b"220 mx ESMTP\r\n", **replies: bytes) -> list[Step]:
    """A script that takes one message; `hello`, `mail`, `rcpt`, `data`, `dot` replace a reply."""
    return [
        greeting,
        "line",
        replies.get("hello", b"250 mx\r\n"),
        "line",
        replies.get("mail", b"250 ok\r\n"),
        "line",
        replies.get("rcpt", b"250 ok\r\n"),
        "line",
        replies.get("data", b"354 go\r\n"),
        "data",
        replies.get("dot", b"250 queued\r\n"),
    ]
