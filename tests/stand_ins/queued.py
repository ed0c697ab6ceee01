"""A qmail-queued that keeps nothing, remembers everything, and answers what a test says."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from qmail.protocols import submit
from qmail.protocols.submit import Stage


class Queued:
    """Listens at `home`'s socket. `messages` holds (text, envelope) of each that was committed.

    `answer` goes out for each message when it is whole; `early`: as soon as it has begun, the rest is
    dropped. `speaks`: not before that is set. `connections` counts those that were made.
    """

    def __init__(self, home: Path, answer: bytes = submit.answer(0, 7)) -> None:
        self.answer, self.early = answer, False
        self.speaks = threading.Event()
        self.speaks.set()
        self.messages: list[tuple[bytes, bytes]] = []
        self.abandoned = self.connections = 0
        self.path = home / "qq/socket"
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        os.chmod(self.path, 0o666)
        self.listener.listen(100)
        self.peers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Queued:
        return self

    def __exit__(self, *_: object) -> None:
        self.speaks.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.path.unlink(missing_ok=True)
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection."""
        for peer in self.peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        talk = submit.Incoming()
        pieces: tuple[list[bytes], list[bytes]] = ([], [])
        with peer:
            try:
                while data := peer.recv(65536):
                    stage = talk.feed(data)
                    for kept, more in zip(pieces, talk.take(), strict=True):
                        kept.extend(more)
                    if stage == Stage.BEGUN and self.early:
                        talk.refuse()
                        peer.sendall(self.answer)
                    elif stage in (Stage.COMMITTED, Stage.ABANDONED):
                        self._end(peer, stage, b"".join(pieces[0]), b"".join(pieces[1]))
                        talk.answered()
                    if stage not in (Stage.BEGUN, Stage.REFUSED):
                        pieces = ([], [])
            except OSError:
                pass  # whoever was there has gone

    def _end(self, peer: socket.socket, stage: int, text: bytes, envelope: bytes) -> None:
        self.speaks.wait()
        if stage == Stage.ABANDONED:
            self.abandoned += 1
            peer.sendall(submit.answer(54, 0))
        else:
            self.messages.append((text, envelope))
            peer.sendall(self.answer)
