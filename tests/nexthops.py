"""The host behind us, on loopback: an SMTP server whose answers stand in the recipients."""

from __future__ import annotations

import re
import socket
import threading

LIMIT = 60  # seconds for anything
EXTENDED = "250-hop.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"


class Hop:
    """Answers RCPT with the number that the recipient begins with; where that is 999, not before `go` is set.

    `greets`, `hello`, `mail`: what it says first, to EHLO, and to MAIL; b"" closes the connection. `said`: all that
    each connection has said. `most`: how many there were at once.
    """

    def __init__(self, *, greets: str = "220 hi\r\n", hello: str = EXTENDED, mail: str = "250 ok\r\n") -> None:
        self._answers = {"ehlo": hello, "mail": mail, "quit": "221 bye\r\n"}
        self._greets = greets
        self.said: list[str] = []
        self.go = threading.Event()
        self._open = self.most = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Hop:
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(LIMIT)

    def asked_for(self) -> list[str]:
        """The recipients of all connections."""
        return re.findall(r"RCPT TO:<(.*)>", "".join(self.said))

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                number = len(self.said)
                self.said.append("")
                self._open += 1
                self.most = max(self.most, self._open)
            self._threads.append(threading.Thread(target=self._serve, args=(peer, number), daemon=True))
            self._threads[-1].start()

    def _serve(self, peer: socket.socket, number: int) -> None:
        peer.settimeout(LIMIT)
        try:
            with peer, peer.makefile("rb") as lines:
                peer.sendall(self._greets.encode())
                while line := lines.readline().decode():
                    self.said[number] += line
                    answer = self._answer(line)
                    peer.sendall(answer.encode())
                    if not answer or line.startswith("QUIT"):
                        break
        except OSError:
            pass  # it has gone
        finally:
            with self._lock:
                self._open -= 1

    def _answer(self, line: str) -> str:
        code = re.match(r"RCPT TO:<(\d*)", line)
        if code is None:
            return self._answers.get(line[:4].lower(), "502 no\r\n")
        if code[1] == "999":
            self.go.wait(LIMIT)
            return "550 at last\r\n"
        return f"{code[1]} it is so\r\n" if code[1] else ""
