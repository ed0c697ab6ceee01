"""The other host: it takes mail, and misbehaves as told by the recipient's domain and by chance.

steady.far   takes everything          moody.far   whatever an SMTP server can do wrong
never.far    refuses for good          closed.far  nobody listens there (see `Sink.routes`)
"""

from __future__ import annotations

import random
import socket
import threading

from soak.letters import HANDED, NAME, SILENT, Book, Texts

PATIENCE = 60.0
STEADY, MOODY, NEVER, CLOSED = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"
FAULTS = {
    "hang up": 3, "421 go away": 2, "554 no": 1, "stall": 1, "garbage": 2, "helo 5xx": 1, "mail 4xx": 3, "mail 5xx": 1,
    "rcpt 4xx": 3, "rcpt 5xx": 2, "data 4xx": 2, "cut in data": 2, "dot 4xx": 4, "dot 5xx": 2, "dot and gone": 6,
    "dot and reset": 3, "dot and stall": 1, "gone before dot": 2, "slow": 2,
}  # fmt: skip


class Gone(Exception):
    """The talk is over."""


class Sink:
    """Servers on port 25 of addresses on loopback."""

    def __init__(self, book: Book, texts: Texts, seed: int) -> None:
        self._book, self._texts, self._chance = book, texts, random.Random(seed)
        self.calm = threading.Event()  # no more misbehaviour
        self._listeners = []
        for address in (STEADY, MOODY, NEVER):
            listener = socket.create_server((address, 25), backlog=256)
            self._listeners.append(listener)
            threading.Thread(target=self._accept, args=(listener, address), daemon=True).start()

    def routes(self) -> str:
        """control/smtproutes."""
        hosts = {"steady.far": STEADY, "moody.far": MOODY, "never.far": NEVER, "closed.far": CLOSED}
        return "\n".join(f"{name}:[{address}]" for name, address in hosts.items())

    def _accept(self, listener: socket.socket, address: str) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: str) -> None:
        connection.settimeout(PATIENCE)
        try:
            Talk(connection, self, address).run()
        except (OSError, Gone):
            pass
        finally:
            connection.close()

    def mood(self, address: str) -> str:
        """What goes wrong with the next message, or nothing."""
        if address == NEVER:
            return self._chance.choice(("mail 5xx", "rcpt 5xx", "dot 5xx"))
        if address == STEADY or self.calm.is_set() or self._chance.random() < 0.4:
            return ""
        mood = self._chance.choices(list(FAULTS), list(FAULTS.values()))[0]
        self._book.count(f"sink: {mood}")
        return mood

    def took(self, data: bytes, recipients: list[str], kind: str) -> None:
        """A whole message is here."""
        found = NAME.search(data)
        if found is None:
            self._book.problem(f"the other host got something unknown: {data[:200]!r}")
            return
        name = found[1].decode()
        letter = self._book.letters.get(name)
        text = self._texts.whole(name) if letter is None or letter.exact else self._texts.body(name)
        if not data.endswith(text):
            self._book.problem(f"{name} reached the other host damaged")
        for recipient in recipients:
            self._book.ended(name, recipient, kind)


class Talk:
    """One connection."""

    def __init__(self, connection: socket.socket, sink: Sink, address: str) -> None:
        self._connection, self._sink, self._address = connection, sink, address
        self._stream = connection.makefile("rb")
        self._mood = sink.mood(address)

    def run(self) -> None:
        """Until one side has had enough. Raises Gone, OSError."""
        self._fault({"hang up": b"", "421 go away": b"421 busy", "554 no": b"554 no", "stall": None})
        if self._mood == "garbage":
            self._connection.sendall(bytes(range(256)) * 4)
            raise Gone
        self._say(b"220 far ESMTP")
        recipients: list[str] = []
        while True:
            line = self._line()
            word = line[:4].lower()
            if word in (b"helo", b"ehlo"):
                self._fault({"helo 5xx": b"550 no"})
                # Pipelining is announced by one of the hosts only.
                self._say(b"250-far\r\n250 PIPELINING" if self._address == STEADY else b"250 far")
            elif word == b"mail":
                recipients = []
                self._say({"mail 4xx": b"451 later", "mail 5xx": b"550 never"}.get(self._mood, b"250 ok"))
            elif word == b"rcpt":
                reply = {"rcpt 4xx": b"450 later", "rcpt 5xx": b"550 never"}.get(self._mood, b"250 ok")
                if reply[:1] == b"2":
                    recipients.append(line.partition(b"<")[2].partition(b">")[0].decode("latin-1"))
                self._say(reply)
            elif word == b"data":
                self._data(recipients)
                self._mood = self._sink.mood(self._address)
            elif word == b"quit":
                self._say(b"221 bye")
                raise Gone
            else:
                self._say(b"250 ok")

    def _data(self, recipients: list[str]) -> None:
        if self._mood.startswith(("mail", "rcpt")) or not recipients:
            self._say(b"503 nobody")
            return
        if self._mood == "data 4xx":
            self._say(b"451 later")
            return
        self._say(b"354 go")
        if self._mood == "cut in data":
            raise Gone
        lines = []
        while (line := self._line()) != b".\r\n":
            if not line.endswith(b"\r\n"):
                raise Gone
            lines.append(line[1:-2] if line[:1] == b"." else line[:-2])
            if self._mood == "gone before dot" and len(lines) > 3:
                raise Gone
        data = b"\n".join([*lines, b""])
        self._fault({"dot 4xx": b"451 later", "dot 5xx": b"554 never"}, go_on=True)
        if self._mood.startswith(("dot 4", "dot 5")):
            return
        if self._mood.startswith("dot and"):
            self._sink.took(data, recipients, SILENT)
            if self._mood == "dot and stall":
                self._stall()
            if self._mood == "dot and reset":
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raise Gone
        self._sink.took(data, recipients, HANDED)
        if self._mood == "slow":
            self._sink.calm.wait(3)
        self._say(b"250 taken")

    def _fault(self, faults: dict[str, bytes | None], *, go_on: bool = False) -> None:
        if self._mood not in faults:
            return
        reply = faults[self._mood]
        if reply is None:
            self._stall()
        elif reply:
            self._say(reply)
        if not go_on:
            raise Gone

    def _stall(self) -> None:
        """Say nothing until the client has had enough."""
        self._connection.settimeout(1)
        while not self._sink.calm.is_set():
            try:
                if not self._connection.recv(65536):
                    break
            except TimeoutError:
                continue
        raise Gone

    def _line(self) -> bytes:
        line = self._stream.readline(100_000)
        if not line:
            raise Gone
        return line

    def _say(self, text: bytes) -> None:
        self._connection.sendall(text + b"\r\n")
