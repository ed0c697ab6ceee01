"""An SMTP server with STARTTLS by OpenSSL, on loopback, that tells what was said to it in TLS, and what was not."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

LIMIT = 20  # seconds for anything
EHLO = b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
INNER = b"250-mx\r\n250 PIPELINING\r\n"


class Server:
    """`got`: what was said, in TLS or before it. `asked`: the names that clients asked for (SNI).

    `behind`: what it adds to its answer to STARTTLS. `breaks`: it hangs up instead of shaking hands.
    `offers`: it offers STARTTLS. `login`: it offers these mechanisms, in TLS, and answers AUTH, and what follows after
    334, with the next of these replies. `inner`: what it answers to EHLO without offering STARTTLS. `last`: what it
    says to a message, and then hangs up without close_notify.
    """

    def __init__(
        self,
        certificate: Path,
        *,
        behind: bytes = b"",
        breaks: bool = False,
        version: str = "",
        offers: bool = True,
        inner: bytes = INNER,
        address: str = "127.0.0.1",
        port: int = 0,
        login: tuple[bytes, list[bytes]] = (b"", []),
        last: bytes | None = None,
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        if version:
            self.context.maximum_version = self.context.minimum_version = ssl.TLSVersion[version]
        self.behind, self.breaks, self.offers = behind, breaks, offers
        self.inner = inner.replace(b"250 ", b"250-AUTH " + login[0] + b"\r\n250 ") if login[0] else inner
        self.answers = login[1]
        self.last = last
        self.got: list[tuple[str, bytes]] = []
        self.asked: list[str | None] = []
        self.context.sni_callback = lambda _stream, name, _context: self.asked.append(name)
        self.listener = socket.create_server((address, port))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._serve, daemon=True)]
        self.threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.settimeout(LIMIT)
            self.threads.append(threading.Thread(target=self._serve_one, args=(peer,), daemon=True))
            self.threads[-1].start()

    def _serve_one(self, peer: socket.socket) -> None:
        try:
            self._talk(peer)
        except (OSError, ValueError):
            pass
        finally:
            peer.close()

    def _talk(self, peer: socket.socket) -> None:
        peer.sendall(b"220 mx\r\n")
        how, offered = "plain", EHLO if self.offers else self.inner
        lines = peer.makefile("rb")
        while line := lines.readline():
            word = line[:4].upper()
            self.got.append((how, line))
            if word == b"STAR":
                peer.sendall(b"220 go ahead\r\n" + self.behind)
                if self.breaks:
                    return
                peer = self.context.wrap_socket(peer, server_side=True)
                lines, offered = peer.makefile("rb"), self.inner
                how = str(peer.version())
            elif word == b"AUTH":
                peer.sendall(answer := self.answers.pop(0))
                while answer.startswith(b"334"):
                    self.got.append((how, lines.readline()))
                    peer.sendall(answer := self.answers.pop(0))
            elif word == b"EHLO":
                peer.sendall(offered)
            elif word == b"DATA":
                peer.sendall(b"354 go\r\n")
                while lines.readline() != b".\r\n":
                    pass
                if self.last is not None:
                    peer.sendall(self.last)
                    return
                peer.sendall(b"250 queued\r\n")
            elif word == b"QUIT":
                return
            else:
                peer.sendall(b"250 ok\r\n")

    def close(self) -> list[tuple[str, bytes]]:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(LIMIT)
        return self.got
