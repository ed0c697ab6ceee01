"""The other host: an SMTP server on loopback that takes messages over, and says so in its answer to each.

`250 taken message-3 a@far.example b@far.example` is what a recording shows of it, `taken` what it has got.
"""

from __future__ import annotations

import re
import socket
import threading

ADDRESS = re.compile(rb"<(.*)>")
MARK = re.compile(rb"message-\d+")
LIMIT = 60  # seconds for a client


class Sink:
    """Listens on a port of its own. While it is not `ready` it answers every greeting with 451."""

    def __init__(self, *, ready: bool = True) -> None:
        self.ready = ready
        self.taken: list[tuple[bytes, list[bytes]]] = []  # a message, without the last Received line; its recipients
        self.busy = 0  # connections
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.busy += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        peer.settimeout(LIMIT)
        recipients: list[bytes] = []
        try:
            with peer, peer.makefile("rb") as lines:
                peer.sendall(b"220 sink\r\n")
                for line in lines:
                    verb = line[:4].upper()
                    if not self.ready:
                        peer.sendall(b"451 later\r\n")
                    elif verb == b"DATA":
                        peer.sendall(b"354 go\r\n")
                        text = b""
                        while (piece := lines.readline()) not in (b".\r\n", b""):
                            text += piece.removeprefix(b".")
                        mark = MARK.search(text)
                        if not piece or not mark:
                            return  # it does not end
                        # Taken from here on: whoever reads the answer may forget the message.
                        self.taken.append((text.replace(b"\r\n", b"\n"), recipients))
                        peer.sendall(b"250 taken %b %b\r\n" % (mark[0], b" ".join(recipients)))
                        recipients = []
                    else:
                        if verb == b"RCPT" and (address := ADDRESS.search(line)):
                            recipients.append(address[1])
                        peer.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
        except OSError:
            return
        finally:
            self.busy -= 1
